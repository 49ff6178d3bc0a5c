using LongCat.ML.Benchmarks.W4A8;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// longcat::PagedAttention beside ONNX Runtime's GroupQueryAttention inside ONNX Runtime: one graph with either, the same numbers, float32 caches written in place, as many threads, in turns.
/// One thread is timed by its own processor time, which says something on a busy machine too, all threads by the wall. Both floors stand beside each case: the multiply-adds of the keys that are seen at the peak of that many threads, and one reading of the cache at what they read together.
/// </summary>
internal static class AttentionBenchmark
{
    private const string Part = "attention";

    /// <summary>What is asked of a prompt and of a generated token: times as fast as GroupQueryAttention.</summary>
    private const double PromptGoal = 1.5, TokenGoal = 1;

    public static IEnumerable<Figure> Run(BenchmarkOptions options)
    {
        ReadBandwidth memory = new(options.Quick);
        int all = Environment.ProcessorCount;
        foreach ((Shape shape, int threads) in Shapes(options.Quick).SelectMany(shape => (shape.Long ? [all] : (int[])[1, all]).Distinct().Select(threads => (shape, threads))))
        {
            string name = shape.Fresh == 1 ? $"decode after {shape.Context}" : $"prompt of {shape.Context}";
            Console.Error.WriteLine($"{Part}: {name}, {shape.Heads} heads on {shape.KvHeads}");
            using AttentionCase attention = new(shape.Heads, shape.KvHeads, shape.Dim, shape.Fresh, shape.Context, threads);
            double bandwidth = 0, peak = 0;
            int turn = 0;
            (Series[] rates, double[] times) = Series.InTurns(shape.Turns, 2, contestant =>
            {
                if (contestant == 0)
                {
                    turn++;
                    bandwidth = Math.Max(bandwidth, memory.Measure(threads));
                    peak = Math.Max(peak, threads * MultiplyAddPeak.Operations / Seconds(1, MultiplyAddPeak.Run));
                }

                return shape.Fresh / Seconds(threads, () => attention.Run(contestant, turn));
            });
            double arithmetic = shape.Operations / peak, reading = shape.CacheBytes / bandwidth, floor = Math.Max(arithmetic, reading);
            double goal = shape.Fresh == 1 ? TokenGoal : PromptGoal, ratio = rates[0].Best / rates[1].Best;
            for (int i = 0; i < 2; i++)
            {
                double seconds = shape.Fresh / rates[i].Best;
                Figure figure = rates[i].ToFigure(
                    Part, $"{name}, {shape.Heads} heads on {shape.KvHeads} of {shape.Dim}: {(i == 0 ? "PagedAttention" : "GroupQueryAttention")}", "tokens/s", threads,
                    ("ms", seconds * 1e3), ("times GroupQueryAttention", rates[i].Best / rates[1].Best), ("median of the turns", i == 0 ? times[0] : 1), ("GFLOP/s", shape.Operations / seconds / 1e9),
                    ("GB/s", shape.CacheBytes / seconds / 1e9), ("floor of arithmetic, ms", arithmetic * 1e3), ("floor of reading, ms", reading * 1e3), ("share of the floor", floor / seconds),
                    ("largest difference", attention.Difference()));
                yield return i == 0 ? figure with { Verdict = ratio >= goal ? "reached" : FormattableString.Invariant($"{ratio:F2} times, {goal:G2} asked") } : figure;
            }
        }
    }

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

    // The longest prompts take a minute each.
    private static IEnumerable<Shape> Shapes(bool quick) => quick
        ? [new(8, 2, 64, 1, 4096, 5), new(8, 2, 64, 512, 512, 3)]
        :
        [
            new(32, 8, 128, 1, 4096, 60), new(32, 8, 128, 1, 16384, 40), new(32, 8, 128, 1, 32768, 30), new(32, 8, 128, 1, 131072, 15), new(32, 32, 128, 1, 4096, 40), new(32, 32, 128, 1, 16384, 20),
            new(32, 8, 128, 4096, 4096, 4), new(32, 8, 128, 8192, 8192, 2), new(32, 8, 128, 16384, 16384, 2), new(32, 8, 128, 32768, 32768, 1),
        ];

    private sealed record Shape(int Heads, int KvHeads, int Dim, int Fresh, int Context, int Turns)
    {
        /// <summary>Too long for one thread.</summary>
        public bool Long => Fresh > 8192;

        /// <summary>Bytes of keys and values in float32.</summary>
        public double CacheBytes => 8.0 * Context * KvHeads * Dim;

        /// <summary>Of the scores and the sums of all keys that are seen, a multiplication and an addition each counted.</summary>
        public double Operations => 4.0 * Heads * Dim * Enumerable.Range(Context - Fresh, Fresh).Sum(position => position + 1.0);
    }
}
