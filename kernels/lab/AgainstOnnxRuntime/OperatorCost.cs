using System.Globalization;

namespace LongCat.ML.Lab;

/// <summary>What a node costs beside its arithmetic: chains of small nodes, one row each, with the engine's session options, in turns.</summary>
internal static class OperatorCost
{
    public static void Run(int threads, double seconds, int size)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{threads} threads, K = N = {size}, best run of {seconds} s for each, in turns; microseconds a node"));
        Chain[] chains = [.. Chain.All(size, threads)];
        for (int round = 0; round < 3; round++)
        {
            foreach (Chain chain in chains)
            {
                chain.Measure(seconds / 3);
            }
        }

        foreach (Chain chain in chains)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{chain.Name,-40} {chain.Microseconds,8:f2}"));
            chain.Dispose();
        }
    }
}
