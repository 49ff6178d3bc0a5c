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

// PagedAttention against ONNX Runtime's GroupQueryAttention, in turns in one process. Arguments: threads (default 1), seconds per case (default 3).
int threads = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1;
double seconds = args.Length > 1 ? double.Parse(args[1], CultureInfo.InvariantCulture) : 3;
Console.WriteLine($"{threads} threads, best of the runs in {seconds} s, in turns; difference: the largest between the two outputs");
Console.WriteLine("| heads / kv heads, dim | window | new tokens | context | PagedAttention ms | GroupQueryAttention ms | times as fast | difference |");
Console.WriteLine("|---|---|---|---|---|---|---|---|");
(int Heads, int KvHeads, int Dim, int Window, int Fresh, int Context)[] cases =
[
    (32, 8, 128, 0, 1, 128), (32, 8, 128, 0, 1, 512), (32, 8, 128, 0, 1, 4096), (32, 8, 128, 0, 1, 16384), (32, 32, 128, 0, 1, 4096), (16, 8, 64, 0, 1, 4096), (32, 8, 128, 1024, 1, 4096),
    (32, 8, 128, 0, 128, 128), (32, 8, 128, 0, 512, 512), (32, 8, 128, 0, 1024, 1024), (32, 8, 128, 0, 2048, 2048), (32, 8, 128, 0, 4096, 4096),
    (32, 8, 128, 0, 512, 4096), (32, 8, 128, 1024, 4096, 4096), (32, 32, 128, 0, 512, 512), (16, 8, 64, 0, 512, 512), (32, 8, 80, 0, 512, 512),
];
foreach (var (heads, kvHeads, dim, window, fresh, context) in cases)
{
    using AttentionCase attention = new(heads, kvHeads, dim, window, fresh, context, threads);
    (double ours, double theirs) = attention.Measure(seconds);
    Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"| {heads} / {kvHeads}, {dim} | {(window == 0 ? "none" : window)} | {fresh} | {context} | {ours:f3} | {theirs:f3} | {theirs / ours:f2} | {attention.Difference():g2} |"));
}
