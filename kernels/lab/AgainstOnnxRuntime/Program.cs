using System.Globalization;
using LongCat.ML.Lab;

// `cost`, then threads, seconds per chain, K = N (default 1, 1, 64): what a small node costs beside its arithmetic.
if (args is ["cost", ..])
{
    OperatorCost.Run(
        args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1, args.Length > 2 ? double.Parse(args[2], CultureInfo.InvariantCulture) : 1,
        args.Length > 3 ? int.Parse(args[3], CultureInfo.InvariantCulture) : 64);
    return;
}

// `joined`, then threads, seconds per form (default 1, 5): what one product instead of two or three of one input could save in decoding.
if (args is ["joined", ..])
{
    JoinedProducts.Run(args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1, args.Length > 2 ? double.Parse(args[2], CultureInfo.InvariantCulture) : 5);
    return;
}

Console.Error.WriteLine("expected cost or joined; attention is compared by ./run bench --only attention");
Environment.ExitCode = 2;
