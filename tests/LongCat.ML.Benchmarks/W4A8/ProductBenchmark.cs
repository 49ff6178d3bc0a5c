using System.Globalization;
using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// Products with 4-bit weights and 8-bit activations: the bare kernel against the machine's limits (B, the read bandwidth, and P, the peak of integer dot products, both measured
/// in turns with it), the operator inside ONNX Runtime against the kernel, and against the runtime's own 4-bit and 8-bit products.
/// </summary>
internal static class ProductBenchmark
{
    private const string Part = "w4a8";

    // Of the square shape, one thread: share of the limit, and times as fast as the best MatMulNBits.
    private static readonly Gate[] Gates =
    [
        new(1, Memory: true, 0.93, 1.5), new(2, Memory: true, 0.93, 1.8), new(3, Memory: false, 0.78, 2.4), new(4, Memory: false, 0.88, 2.4), new(8, Memory: false, 0.90, 2.2),
        new(16, Memory: false, 0.90, 2.2), new(64, Memory: false, 0.93, 2.1), new(256, Memory: false, 0.94, 2.2), new(512, Memory: false, 0.94, 2.2),
    ];

    // Matrices of the models: what reads the hidden state and what writes it, in turns.
    private static readonly (string Model, int Width, int Inner)[] Shapes =
    [
        ("LongCat-Flash-Lite, dense", 3072, 6144), ("LongCat-Flash-Lite, expert", 3072, 1024), ("LongCat-Flash-Lite, latent attention", 3072, 1536),
        ("Llama 1.1B, feed-forward", 2048, 5632), ("Llama 1.1B, query and output", 2048, 2048), ("Llama 1.1B, key and value", 2048, 256),
        ("Qwen3 0.6B, feed-forward", 1024, 3072), ("Qwen3 0.6B, query and output", 1024, 2048),
    ];

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        KernelProbe probe = KernelProbe.Open();
        int side = options.Quick ? 512 : 4096;
        long least = options.Quick ? 4_000_000 : ProductWeights.LeastBytes;
        ProductKind[] square =
        [
            ProductKind.LongCat, ProductKind.LongCatMapped, ProductKind.FourBits(32), ProductKind.FourBits(64), ProductKind.FourBits(128), ProductKind.FourBits(256), ProductKind.EightBits,
        ];
        Dictionary<int, double> one = [];
        ReadBandwidth shared = new(options.Quick);
        using (ProductWeights weights = new(probe, side, side, group: 128, eightBits: true, least))
        {
            foreach (int threads in Environment.ProcessorCount > 1 ? new[] { 1, 2 } : [1])
            {
                foreach (Figure figure in Compare($"{side} x {side}", models, probe, weights, square, threads, [.. Gates.Select(gate => gate.Rows)], one, shared, options))
                {
                    yield return figure;
                }
            }
        }

        ProductKind[] shaped = [ProductKind.LongCat, ProductKind.FourBits(32), ProductKind.FourBits(128)];
        foreach ((string model, int width, int inner) in options.Quick ? Shapes[..1] : Shapes)
        {
            using ProductWeights weights = new(probe, width, inner, group: 128, eightBits: false, least);
            foreach (Figure figure in Compare($"{model}, {width} x {inner}", models, probe, weights, shaped, threads: 1, [1, 4, 16, 256], [], shared, options))
            {
                yield return figure;
            }
        }
    }

    private static IEnumerable<Figure> Compare(
        string name, BenchmarkModels models, KernelProbe probe, ProductWeights weights, ProductKind[] kinds, int threads, int[] rowCounts, Dictionary<int, double> oneThread,
        ReadBandwidth shared, BenchmarkOptions options)
    {
        Console.Error.WriteLine($"w4a8: {name}, threads {threads}");
        using PinnedThread? pin = threads == 1 ? new PinnedThread(Environment.ProcessorCount - 1) : null;
        List<ProductChain> chains = [];
        try
        {
            foreach (ProductKind kind in kinds)
            {
                chains.Add(new ProductChain(kind, weights, threads, models.Scratch($"products-{name.GetHashCode(StringComparison.Ordinal):x}-{threads}-{chains.Count}")));
            }

            bool gated = weights.Width == weights.Inner && weights.Width >= 4096;
            foreach (int rows in rowCounts)
            {
                foreach (Figure figure in Rows(name, probe, weights, chains, threads, rows, gated, oneThread, shared, options))
                {
                    yield return figure;
                }
            }
        }
        finally
        {
            chains.ForEach(chain => chain.Dispose());
        }
    }

    private static List<Figure> Rows(
        string name, KernelProbe probe, ProductWeights weights, List<ProductChain> chains, int threads, int rows, bool gated, Dictionary<int, double> oneThread, ReadBandwidth shared,
        BenchmarkOptions options)
    {
        Gate gate = Gates.First(gate => gate.Rows >= rows);
        int turns = options.Quick ? 2 : rows switch { <= 4 => 20, <= 16 => 10, <= 64 => 5, _ => 2 };
        float[] input = Noise(rows * weights.Width);
        double peak = 0, bandwidth = 0, bare = double.MaxValue;
        double[] best = [.. chains.Select(_ => double.MaxValue)];
        using PageBuffer scratch = new(weights.Shapes.Max(shape => probe.WorkspaceBytes(shape, rows)) + 64), output = new(4L * rows * Math.Max(weights.Width, weights.Inner)), x = new(4L * rows * Math.Max(weights.Width, weights.Inner));
        Fill(x);
        for (int turn = 0; turn <= turns; turn++)
        {
            if (threads == 1)
            {
                peak = Math.Max(peak, probe.Peak());
                bandwidth = turn % 5 == 0 ? Math.Max(bandwidth, probe.Read()) : bandwidth;
                double kernel = Bare(probe, weights, rows, x, output, scratch);
                bare = turn == 0 ? bare : Math.Min(bare, kernel);
            }
            else
            {
                // Two threads together may read no faster than one: whatever links their cores with memory is shared.
                bandwidth = Math.Max(bandwidth, shared.Measure(threads));
            }

            for (int i = 0; i < chains.Count; i++)
            {
                double seconds = chains[i].Seconds(input, rows);
                best[i] = turn == 0 ? best[i] : Math.Min(best[i], seconds);
            }
        }

        // The fastest block size counts; the one as long as our groups has the same number of scales.
        double operations = 2.0 * rows * weights.Width * weights.Inner, bytes = (weights.MatrixBytes(0) + weights.MatrixBytes(1)) / 2.0;
        double four = best.Where((_, i) => chains[i].Kind.Operator == "MatMulNBits").Min(), ours = best[0];
        int eight = chains.FindIndex(chain => chain.Kind == ProductKind.EightBits);
        List<Figure> figures = [];
        List<(string, double)> more = [];
        List<string> failed = [];
        if (threads == 1)
        {
            double share = gate.Memory ? bytes / bare / bandwidth : operations / bare / peak;
            double overhead = ours - bare;
            figures.Add(Figure("bare kernel", bare, [("share of B", bytes / bare / bandwidth), ("share of P", operations / bare / peak), ("B, GB/s", bandwidth / 1e9), ("P, GOP/s", peak / 1e9)]));
            more.AddRange([("over the kernel, us", overhead * 1e6), ("over the kernel, %", overhead / bare * 100)]);
            if (rows == gate.Rows)
            {
                // Other shapes than the square one may lose a twentieth of the share.
                Ask($"{(gated ? 1 : 0.95) * gate.Share:F3} of {(gate.Memory ? "B" : "P")}", share, (gated ? 1 : 0.95) * gate.Share);
            }

            Limit(rows >= 16, "3 % over the kernel", overhead / bare, 0.03);
            Limit(rows == 1, "10 us over the kernel", overhead * 1e6, 10);
            oneThread[rows] = ours;
        }
        else
        {
            double times = oneThread[rows] / ours, allowed = oneThread[rows] * bandwidth / bytes;
            more.AddRange([("times one thread", times), ("share of B", bytes / ours / bandwidth), ("B, GB/s", bandwidth / 1e9)]);
            if (rows >= 4)
            {
                Ask(string.Create(CultureInfo.InvariantCulture, $"1.85 times one thread{(allowed < 1.85 ? $" (B of {threads} threads allows {allowed:F2})" : "")}"), times, 1.85);
            }
        }

        more.Add(("times MatMulNBits", four / ours));
        more.Add(("times its block 128", best[chains.FindIndex(chain => chain.Kind.Block == 128)] / ours));
        if (gated)
        {
            // However fast the kernel, it reads its weights.
            double most = four * (threads == 1 ? Math.Min(bandwidth / bytes, peak / operations) : bandwidth / bytes);
            Ask(string.Create(CultureInfo.InvariantCulture, $"{gate.Times} times MatMulNBits{(most < gate.Times ? $" (the limits of this processor allow {most:F2})" : "")}"), four / ours, gate.Times);
        }

        if (eight >= 0)
        {
            more.Add(("times W8A8", best[eight] / ours));
            Ask("W8A8", best[eight] / ours, 1);
        }

        figures.Add(Figure(ProductKind.LongCat.Label, ours, more) with { Verdict = failed.Count == 0 ? "reached" : "missed: " + string.Join("; ", failed) });
        figures.AddRange(Enumerable.Range(1, chains.Count - 1).Select(i => Figure(chains[i].Kind.Label, best[i], [])));
        return figures;

        void Ask(string what, double value, double least)
        {
            if (value < least)
            {
                failed.Add(string.Create(CultureInfo.InvariantCulture, $"{value:F2} for {what}"));
            }
        }

        void Limit(bool applies, string what, double value, double most)
        {
            if (applies && value > most)
            {
                failed.Add(string.Create(CultureInfo.InvariantCulture, $"{value:G3} for at most {what}"));
            }
        }

        Figure Figure(string label, double seconds, IEnumerable<(string Name, double Value)> columns) => new(
            Part, $"{name}, M = {rows}, {label}", threads, "GOP/s", operations / seconds / 1e9, operations / seconds / 1e9, 0, turns,
            new Dictionary<string, double>([new("us", seconds * 1e6), .. columns.Select(column => KeyValuePair.Create(column.Name, column.Value))]));
    }

    /// <summary>Seconds for one product of the kernel alone, over the same weights.</summary>
    private static unsafe double Bare(KernelProbe probe, ProductWeights weights, int rows, PageBuffer x, PageBuffer output, PageBuffer scratch)
    {
        double started = PinnedThread.ProcessorSeconds();
        for (int i = 0; i < 2 * weights.Pairs; i++)
        {
            probe.Multiply(weights.Shapes[i % 2], rows, (float*)x.Bytes, weights.Matrix(i), (float*)weights.Scales[i % 2].Bytes, (float*)output.Bytes, scratch.Bytes);
        }

        return (PinnedThread.ProcessorSeconds() - started) / (2 * weights.Pairs);
    }

    private static float[] Noise(int count)
    {
        Random random = new(7);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }

    private static unsafe void Fill(PageBuffer x) => Noise((int)(x.Length / 4)).CopyTo(MemoryMarshal.Cast<byte, float>(new Span<byte>(x.Bytes, (int)x.Length)));

    private sealed record Gate(int Rows, bool Memory, double Share, double Times);
}
