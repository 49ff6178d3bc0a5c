using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Training.Reports;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// The whole model at long contexts: longcat-nano's dimensions, full and with half of its attentions streaming, prompts read and tokens generated after them, in turns. Where
/// attention is nearly all of the work a model of which half streams can take half of the time: 2 is the bound of the ratio.
/// </summary>
internal static class LongContextBenchmark
{
    private const string Part = "zigzag";
    private const int NewTokens = 33;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        int[] lengths = options.Quick ? [2048, 4096] : [8192, 32768, 131072];
        ModelConfig nano = ModelConfig.Load(models.Nano.CheckpointFolder);
        ExportOptions export = new() { Precision = WeightPrecision.BF16 };
        int context = lengths[^1] + 256;
        using BenchmarkModel full = LongContextModels.Export(models, "full", context, [], export), half = LongContextModels.Export(models, "half streaming", context, LongContextModels.Alternate(nano), export);
        BenchmarkModel[] variants = [full, half];
        int threads = Environment.ProcessorCount;
        foreach (int length in lengths)
        {
            Console.Error.WriteLine($"{Part}: {length} tokens");
            Prompts prompts = new(nano.VocabSize);

            // The longest prompts take minutes: one turn.
            int turns = options.Quick || length > 32768 ? 1 : 2;
            InferenceEngine[] engines = [.. variants.Select(model => InferenceEngine.Load(model.Folder, new EngineOptions
            {
                Threads = threads, MaxSequences = 1, MemoryBudgetBytes = model.TokenCacheBytes * (length + 256),
            }))];
            try
            {
                double[] used = new double[variants.Length];
                GenerationRequest request = prompts.Request(length, 1);
                (Series[] prefill, double[] prefillTimes) = Series.InTurns(turns, variants.Length, i =>
                {
                    // A prompt of its own each time, or its pages would still be there.
                    request = i == 0 ? prompts.Request(length, 1) : request;
                    return EngineRates.Prompt(engines[i], request);
                }, warmUp: false);
                (Series[] decode, double[] decodeTimes) = Series.InTurns(
                    options.Quick ? 1 : 3, variants.Length, i => EngineRates.Decode(engines[i], request with { Options = request.Options with { MaxNewTokens = NewTokens } }), warmUp: true);
                for (int i = 0; i < variants.Length; i++)
                {
                    yield return prefill[i].ToFigure(Part, $"{variants[i].Name}: prompt of {length}", "tokens/s", threads, ("tokens", length), ("times full", 1 / (prefill[0].Best / prefill[i].Best)));
                    yield return decode[i].ToFigure(Part, $"{variants[i].Name}: decode after {length}", "tokens/s", threads, ("tokens", length), ("times full", 1 / (decode[0].Best / decode[i].Best)));
                }
            }
            finally
            {
                Array.ForEach(engines, engine => engine.Dispose());
            }
        }
    }

    /// <summary>The ratios over the context as a picture.</summary>
    public static string Picture(IEnumerable<Figure> figures)
    {
        Figure[] half = [.. figures.Where(figure => figure.Part == Part && figure.Name.StartsWith("half", StringComparison.Ordinal))];
        return new SvgChart("longcat-nano's dimensions: half of the attentions streaming, times as fast as all full", "context, thousands of tokens", "times full") { FromZero = true }
            .Add(new ChartSeries("prompt", "#1f77b4", Points("prompt")) { Marked = true })
            .Add(new ChartSeries("decode", "#d62728", Points("decode")) { Marked = true })
            .ToString();

        (double X, double Y)[] Points(string kind) =>
            [.. half.Where(figure => figure.Name.Contains(kind, StringComparison.Ordinal)).Select(figure => (figure.More["tokens"] / 1000, figure.More["times full"]))];
    }
}
