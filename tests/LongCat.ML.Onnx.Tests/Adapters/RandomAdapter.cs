using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Adapters with seeded values that move the outputs of what they sit on by about a tenth.</summary>
internal static class RandomAdapter
{
    /// <param name="checkpoint">The base model.</param>
    /// <param name="seed">Of the values.</param>
    /// <param name="modules">What it adapts.</param>
    /// <param name="rank">Of every module.</param>
    /// <param name="dora">Whether it has magnitudes.</param>
    public static PeftAdapter Create(Checkpoint checkpoint, int seed, IEnumerable<string> modules, int rank = 4, bool dora = false)
    {
        string[] names = [.. modules];
        PeftConfig config = new() { Rank = rank, Alpha = 2 * rank, UseDora = dora, Targets = AdapterTargets.Names(names) };
        Random random = new(seed);
        return PeftAdapter.Create(config, names.Select(module =>
        {
            int n = (int)checkpoint.Entry($"{module}.weight").Shape[0], k = (int)checkpoint.Entry($"{module}.weight").Shape[1];
            return new AdapterMatrix
            {
                Module = module,
                Rank = rank,
                Scale = config.ScaleOf(module),
                A = Floats(rank * k, 1 / Math.Sqrt(k)),
                B = Floats(n * rank, 0.1 / Math.Sqrt(rank)),
                Magnitude = dora ? [.. Floats(n, 0.2).Select(value => 1 + value)] : null,
                In = k,
                Out = n,
            };
        }));

        float[] Floats(int count, double scale) => [.. Enumerable.Range(0, count).Select(_ => (float)(((random.NextDouble() * 2) - 1) * scale * Math.Sqrt(3)))];
    }
}
