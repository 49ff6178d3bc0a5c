using LongCat.ML.Benchmarks.W4A8;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// longcat::PagedAttention beside ONNX Runtime's GroupQueryAttention inside ONNX Runtime: the same numbers, caches written in place, as many threads, in turns. Ours runs over a float32 and over a bfloat16 cache; theirs knows float32 alone.
/// One thread is timed by its own processor time, which says something on a busy machine too, all threads by the wall. Both floors stand beside each line: the multiply-adds of the keys that are seen at the peak of that many threads (of float32, or of dot products of bfloat16 where the line multiplies those),
/// and one reading of its cache at what they read together.
/// </summary>
internal static class AttentionBenchmark
{
    private const string Part = "attention";

    /// <summary>What is asked of a prompt over a bfloat16 cache and of a generated token: times as fast as GroupQueryAttention.</summary>
    private const double PromptGoal = 1.5, TokenGoal = 1;

    private static readonly string[] Contestants = ["PagedAttention, float32 cache", "PagedAttention, bfloat16 cache", "GroupQueryAttention, float32 cache"];

    public static IEnumerable<Figure> Run(BenchmarkOptions options)
    {
        ReadBandwidth memory = new(options.Quick);
        KernelProbe probe = KernelProbe.Open();
        int all = Environment.ProcessorCount;
        foreach ((Shape shape, int threads) in Shapes(options.Quick).SelectMany(shape => (shape.Long ? [all] : (int[])[1, all]).Distinct().Select(threads => (shape, threads))))
        {
            string name = shape.Fresh == 1 ? $"decode after {shape.Context}" : $"prompt of {shape.Context}";
            Console.Error.WriteLine($"{Part}: {name}, {shape.Heads} heads on {shape.KvHeads}, {threads} threads");
            using AttentionCase attention = new(shape.Heads, shape.KvHeads, shape.Dim, shape.Fresh, shape.Context, threads);
            double bandwidth = 0, floats = 0, pairs = 0;
            int turn = 0;
            (Series[] rates, double[] times) = Series.InTurns(
                shape.Turns,
                Contestants.Length,
                contestant =>
                {
                    if (contestant == 0)
                    {
                        turn++;
                        bandwidth = Math.Max(bandwidth, memory.Measure(threads));
                        floats = Math.Max(floats, threads * MultiplyAddPeak.Operations / Seconds(1, MultiplyAddPeak.Run));
                        pairs = Math.Max(pairs, threads * probe.PairsPeak());
                    }

                    return shape.Fresh / Seconds(threads, () => attention.Run(contestant, turn));
                },
                warmUp: !shape.Slow);
            for (int i = 0; i < Contestants.Length; i++)
            {
                bool halves = i == 1;
                double seconds = shape.Fresh / rates[i].Best, bytes = shape.CacheBytes / (halves ? 2 : 1), ratio = rates[i].Best / rates[^1].Best;
                double arithmetic = shape.Operations / (halves && pairs > 0 ? pairs : floats), reading = bytes / bandwidth;
                Figure figure = rates[i].ToFigure(
                    Part, $"{name}, {shape.Heads} heads on {shape.KvHeads} of {shape.Dim}: {Contestants[i]}", "tokens/s", threads,
                    ("ms", seconds * 1e3), ("times GroupQueryAttention", ratio), ("median of the turns", times[i]), ("GFLOP/s", shape.Operations / seconds / 1e9), ("GB/s", bytes / seconds / 1e9),
                    ("floor of arithmetic, ms", arithmetic * 1e3), ("floor of reading, ms", reading * 1e3), ("share of the floor", Math.Max(arithmetic, reading) / seconds),
                    ("largest difference", attention.Difference(i)));
                yield return Goal(i, shape.Fresh == 1) is not { } goal ? figure
                    : figure with { Verdict = ratio >= goal ? "reached" : FormattableString.Invariant($"{ratio:F2} times, {goal:G2} asked") };
            }
        }
    }

    /// <summary>What is asked of a contestant; nothing of theirs, and of a prompt over a float32 cache nothing either: it stands beside the other.</summary>
    private static double? Goal(int contestant, bool token) => contestant == 2 ? null : token ? TokenGoal : contestant == 1 ? PromptGoal : null;

    private static double Seconds(int threads, Action action)
    {
        if (threads > 1)
        {
            return Series.Seconds(action);
        }

        double start = PinnedThread.ProcessorSeconds();
        action();
        return PinnedThread.ProcessorSeconds() - start;
    }

    // The longest prompts take a minute each: all of this takes some ten.
    private static IEnumerable<Shape> Shapes(bool quick) => quick
        ? [new(8, 2, 64, 1, 4096, 5), new(8, 2, 64, 512, 512, 3)]
        :
        [
            new(32, 8, 128, 1, 4096, 40), new(32, 8, 128, 1, 16384, 30), new(32, 8, 128, 1, 32768, 20), new(32, 8, 128, 1, 131072, 10),
            new(32, 32, 128, 1, 4096, 30), new(32, 32, 128, 1, 16384, 15), new(32, 32, 128, 1, 32768, 10),
            new(32, 8, 128, 4096, 4096, 3), new(32, 8, 128, 8192, 8192, 2), new(32, 8, 128, 16384, 16384, 1), new(32, 8, 128, 32768, 32768, 1),
            new(32, 32, 128, 4096, 4096, 2), new(32, 32, 128, 16384, 16384, 1),
        ];

    private sealed record Shape(int Heads, int KvHeads, int Dim, int Fresh, int Context, int Turns)
    {
        /// <summary>Too long for one thread.</summary>
        public bool Long => Fresh > 4096;

        /// <summary>Too long to warm up.</summary>
        public bool Slow => Fresh > 8192;

        /// <summary>Bytes of keys and values in float32.</summary>
        public double CacheBytes => 8.0 * Context * KvHeads * Dim;

        /// <summary>Of the scores and the sums of all keys that are seen, a multiplication and an addition each counted.</summary>
        public double Operations => 4.0 * Heads * Dim * Enumerable.Range(Context - Fresh, Fresh).Sum(position => position + 1.0);
    }
}
