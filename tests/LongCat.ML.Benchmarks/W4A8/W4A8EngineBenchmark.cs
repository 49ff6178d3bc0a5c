using System.Globalization;
using LongCat.ML.Benchmarks.LlamaCpp;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// Whole models: 4-bit weights and 8-bit activations in the engine, beside the same checkpoints with standard operators (MatMulNBits, level 4) and beside llama.cpp
/// over models of the same shapes, all in turns in one process.
/// </summary>
internal static class W4A8EngineBenchmark
{
    private const string Part = "w4a8-engine";

    // How many times as fast as llama.cpp; the standard operators everywhere by half.
    private const double TimesStandard = 1.5;

    private static readonly Case[] Cases =
    [
        new("prompt of 128", contestant => contestant.Prompt(128), 2.3, Turns: 3, Slow: false),
        new("decode of one", contestant => contestant.Decode(1, 32), 1.4, Turns: 4, Slow: false, Sequences: 1),
        new("prompt of 512", contestant => contestant.Prompt(512), 2.3, Turns: 2, Slow: true),
        new("decode of eight", contestant => contestant.Decode(EngineContestants.Sequences, 16), 3, Turns: 2, Slow: true),
    ];

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        if (LlamaCppLibrary.TryLoad(out LlamaCppLibrary? library) is { } reason)
        {
            Console.Error.WriteLine($"w4a8-engine: without llama.cpp: {reason}");
        }
        else
        {
            Console.Error.WriteLine($"w4a8-engine: {library!.Version}");
        }

        ReadBandwidth bandwidth = new(options.Quick);
        foreach (BenchmarkShape shape in models.Shapes)
        {
            Console.Error.WriteLine($"w4a8-engine: exporting {shape.Name}");
            using BenchmarkModel ours = models.Export(shape, "w4a8", Ours());
            using BenchmarkModel small = models.Export(shape, "int4-32", StandardInt4(32)), large = models.Export(shape, "int4-128", StandardInt4(128));
            (string Type, string File)[] files = library is not null && GgufModel.Knows(shape)
                ? [.. new[] { "Q4_0", "Q4_K" }.Select(type => (type, GgufModel.Write(Path.Combine(BenchmarkModels.Root, "artifacts", "bench"), shape, type)))]
                : [];
            foreach (int threads in Environment.ProcessorCount > 1 ? new[] { 1, 2 } : [1])
            {
                List<IEngineContestant> contestants = [];
                try
                {
                    contestants.Add(new OwnEngine(ours, "longcat w4a8", threads));
                    contestants.Add(new OwnEngine(ours, "longcat w4a8, weights in pages of 2 MB", threads, WeightPages.Huge));
                    contestants.Add(new OwnEngine(small, "standard int4, block 32", threads));
                    contestants.Add(new OwnEngine(large, "standard int4, block 128", threads));
                    contestants.AddRange(files.Select(file => new Peer(library!, file.File, $"llama.cpp {file.Type}", shape.VocabSize, threads)));
                    foreach (Figure figure in Compare(shape, contestants, DecodeBytes(ours), bandwidth, threads, options))
                    {
                        yield return figure;
                    }

                    if (threads == Environment.ProcessorCount && files.Length > 0)
                    {
                        foreach (Figure figure in Noisy(shape, contestants, threads))
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
    }

    /// <summary>Rounding to nearest needs no calibration; the recipes choose other levels for the same format, so they run as fast.</summary>
    private static ExportOptions Ours() => new() { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } };

    private static ExportOptions StandardInt4(int block) => new() { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4, Int4BlockSize = block };

    /// <summary>
    /// Bytes of weights that one decoding step of one sequence reads: all of them but an embedding table of its own, which stays bfloat16 and of which a step reads a row. 0 where experts make it a matter of chance.
    /// </summary>
    private static double DecodeBytes(BenchmarkModel model) => model.Config is not DecoderConfig { Experts: null } config
        ? 0
        : Directory.EnumerateFiles(model.Folder, "*.data*").Sum(file => new FileInfo(file).Length) - (config.TieWordEmbeddings ? 0 : 2.0 * config.VocabSize * config.HiddenSize);

    private static IEnumerable<Figure> Compare(
        BenchmarkShape shape, List<IEngineContestant> contestants, double decodeBytes, ReadBandwidth bandwidth, int threads, BenchmarkOptions options)
    {
        IEngineContestant? slower = null;
        foreach (Case measured in Cases)
        {
            Console.Error.WriteLine($"w4a8-engine: {shape.Name}, {measured.Name}, threads {threads}");

            // Minutes go to the block size that was faster with the short prompt.
            IEngineContestant[] chosen = [.. contestants.Where(contestant => !measured.Slow || contestant != slower)];
            double machine = 0, floor = 0;
            (Series[] series, _) = Series.InTurns(options.Quick ? 1 : measured.Turns, chosen.Length, i =>
            {
                machine = measured.Sequences == 1 ? Math.Max(machine, bandwidth.Measure(threads)) : 0;
                return measured.Measure(chosen[i]);
            }, warmUp: false);
            slower ??= series[2].Best < series[3].Best ? contestants[2] : contestants[3];
            double standard = Best(series, chosen, "standard"), llama = Best(series, chosen, "llama.cpp"), own = series[0].Best;
            List<string> missed = [];
            List<(string, double)> more = [("times standard", own / standard)];
            if (machine > 0 && decodeBytes > 0)
            {
                floor = machine / decodeBytes;
                more.AddRange([("MB/step", decodeBytes / 1e6), ("machine GB/s", machine / 1e9), ("share of the floor", own / floor)]);
            }

            Ask("standard", own / standard, TimesStandard);
            if (llama > 0)
            {
                more.Add(("times llama.cpp", own / llama));
                Ask("llama.cpp", own / llama, measured.TimesLlama);
            }

            for (int i = 0; i < chosen.Length; i++)
            {
                Figure figure = series[i].ToFigure(Part, $"{shape.Name}, {measured.Name}: {chosen[i].Name}", "tokens/s", threads, i == 0 ? [.. more] : []);
                yield return i > 0 ? figure : figure with { Verdict = missed.Count == 0 ? "reached" : "missed: " + string.Join("; ", missed) };
            }

            void Ask(string peer, double times, double least)
            {
                if (times < least)
                {
                    string allowed = floor > 0 && floor < least * own / times ? string.Create(CultureInfo.InvariantCulture, $" (reading its weights at this machine's bandwidth allows {floor * times / own:F2})") : "";
                    missed.Add(string.Create(CultureInfo.InvariantCulture, $"{times:F2} times {peer}, {least} asked") + allowed);
                }
            }
        }
    }

    /// <summary>What is left of the throughput while another program keeps every core busy: half of it would be fair.</summary>
    private static IEnumerable<Figure> Noisy(BenchmarkShape shape, List<IEngineContestant> contestants, int threads)
    {
        IEngineContestant[] chosen = [contestants[0], contestants.First(contestant => contestant is Peer)];
        foreach (IEngineContestant contestant in chosen)
        {
            foreach ((string name, Func<double> measure) in new (string, Func<double>)[] { ("prompt of 128", () => contestant.Prompt(128)), ("decode of one", () => contestant.Decode(1, 16)) })
            {
                Console.Error.WriteLine($"w4a8-engine: {shape.Name}, {name} beside a busy program, {contestant.Name}");
                double alone = Math.Max(measure(), measure()), beside;
                using (new NoisyNeighbour())
                {
                    beside = measure();
                }

                Figure figure = new(Part, $"{shape.Name}, {name} beside a busy program: {contestant.Name}", threads, "tokens/s", beside, beside, 0, 1, new Dictionary<string, double> { ["share of alone"] = beside / alone });
                yield return contestant != chosen[0] ? figure
                    : figure with { Verdict = beside / alone >= 0.4 ? "reached" : string.Create(CultureInfo.InvariantCulture, $"missed: {beside / alone:F2} of the rate alone, about a half asked") };
            }
        }
    }

    private static double Best(Series[] series, IEngineContestant[] contestants, string prefix) =>
        series.Where((_, i) => contestants[i].Name.StartsWith(prefix, StringComparison.Ordinal)).Select(each => each.Best).DefaultIfEmpty(0).Max();

    private sealed record Case(string Name, Func<IEngineContestant, double> Measure, double TimesLlama, int Turns, bool Slow, int Sequences = 0);
}
