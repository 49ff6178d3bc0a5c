using System.Globalization;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// longcat::ExpertMixture with 4-bit experts beside what ONNX Runtime offers: a loop of MatMulNBits over the chosen experts, and QMoE. Every turn has tokens of its own, so the
/// experts it reads lie in memory; all contestants compute the same experts for the same number of tokens within a turn.
/// </summary>
internal static class ExpertMixtureBenchmark
{
    private const string Part = "w4a8-experts";
    private const double Wanted = 2, WantedOfTwoThreads = 1.85;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        KernelProbe probe = KernelProbe.Open();
        ExpertSizes sizes = options.Quick ? ExpertSizes.Small : ExpertSizes.Lite;
        using ExpertWeights weights = new(probe, sizes);
        Dictionary<int, double> oneThread = [];
        foreach (int threads in Environment.ProcessorCount > 1 ? new[] { 1, 2 } : [1])
        {
            Console.Error.WriteLine($"{Part}: threads {threads}");
            using PinnedThread? pin = threads == 1 ? new PinnedThread(Environment.ProcessorCount - 1) : null;
            List<ExpertContestant> contestants = [];
            try
            {
                contestants.Add(new LongCatExperts(weights, threads, models.Scratch($"experts-{threads}")));
                foreach (int block in new[] { 32, 128 })
                {
                    contestants.Add(new MatMulNBitsLoop(weights, block, threads, models.Scratch($"experts-{threads}-{block}")));
                }

                AddQuantizedMoe(contestants, weights, threads, models.Scratch($"experts-{threads}-qmoe"));
                foreach (int tokens in new[] { 1, 16, 256 })
                {
                    foreach (Figure figure in Compare(probe, weights, contestants, threads, tokens, oneThread, options))
                    {
                        yield return figure;
                    }
                }
            }
            finally
            {
                contestants.ForEach(contestant => contestant.Dispose());
            }
        }
    }

    private static void AddQuantizedMoe(List<ExpertContestant> contestants, ExpertWeights weights, int threads, string folder)
    {
        try
        {
            contestants.Add(new QuantizedMoe(weights, threads, folder));
        }
        catch (OnnxRuntimeException error)
        {
            Console.Error.WriteLine($"{Part}: QMoE is left out, this ONNX Runtime does not run it: {error.Message}");
        }
    }

    private static List<Figure> Compare(
        KernelProbe probe, ExpertWeights weights, List<ExpertContestant> contestants, int threads, int tokens, Dictionary<int, double> oneThread, BenchmarkOptions options)
    {
        ExpertSizes sizes = weights.Sizes;
        (int turns, int runs) = options.Quick ? (2, 2) : tokens switch { 1 => (10, 8), <= 16 => (5, 2), _ => (3, 1) };
        double[][] seconds = [.. contestants.Select(_ => new double[turns])];
        double[] shares = new double[turns], loops = new double[turns], moes = new double[turns];
        double peak = probe.Peak(), bandwidth = probe.Read(), experts = 0, megabytes = 0;
        Random random = new(tokens);
        int[][] chosen = [.. Enumerable.Range(0, runs).Select(_ => new int[tokens * sizes.Top])];
        for (int turn = -1; turn < turns; turn++)
        {
            // Several runs in a row, as steps of decoding follow each other.
            float[][] x = [.. chosen.Select(_ => Enumerable.Range(0, tokens * sizes.Hidden).Select(_ => (random.NextSingle() * 2) - 1).ToArray())];
            double[] now = [.. contestants.Select(contestant => Enumerable.Range(0, runs).Average(run => contestant.Seconds(x[run], tokens, chosen[run])))];
            if (turn < 0)
            {
                continue;
            }

            for (int i = 0; i < now.Length; i++)
            {
                seconds[i][turn] = now[i];
            }

            int[] rows = [.. chosen.SelectMany(run => run.GroupBy(e => e).Select(group => group.Count()))];
            double router = 4.0 * sizes.Experts * sizes.Hidden, read = (double)rows.Length / runs;
            shares[turn] = ((router / bandwidth) + (rows.Sum(count => Math.Max(weights.ExpertBytes / bandwidth, count * sizes.Operations / peak)) / runs)) / now[0];
            loops[turn] = Math.Min(now[1], now[2]) / now[0];
            moes[turn] = now.Length > 3 ? now[3] / now[0] : 0;
            (experts, megabytes) = (experts + (read / turns), megabytes + (((read * weights.ExpertBytes) + router) / 1e6 / turns));
        }

        List<(string, double)> more = [("experts", experts), ("MB", megabytes), ("times MatMulNBits", Median(loops))];
        List<string> missed = [];
        Ask("the loop of MatMulNBits", Median(loops), Wanted);
        if (contestants.Count > 3)
        {
            more.Add(("times QMoE", Median(moes)));
            Ask("QMoE", Median(moes), Wanted);
        }

        if (threads == 1)
        {
            more.AddRange([("share of the floor", Median(shares)), ("B, GB/s", bandwidth / 1e9), ("P, GOP/s", peak / 1e9)]);
            oneThread[tokens] = Median(seconds[0]);
        }
        else
        {
            double times = oneThread[tokens] / Median(seconds[0]);
            more.Add(("times one thread", times));
            Ask("one thread", times, WantedOfTwoThreads);
        }

        return
        [
            Figure(0, more) with { Verdict = missed.Count == 0 ? "reached" : "missed: " + string.Join("; ", missed) },
            .. Enumerable.Range(1, contestants.Count - 1).Select(i => Figure(i, [])),
        ];

        void Ask(string what, double value, double least)
        {
            if (value < least)
            {
                missed.Add(string.Create(CultureInfo.InvariantCulture, $"{value:F2} for {least} times {what}"));
            }
        }

        Figure Figure(int i, IEnumerable<(string Name, double Value)> columns) => new Series(higherIsBetter: false, seconds[i].Select(value => value * 1e3).ToArray()).ToFigure(
            Part, $"{sizes.Experts} experts, top {sizes.Top}, T = {tokens}, {contestants[i].Label}", "ms", threads, [.. columns]);
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
