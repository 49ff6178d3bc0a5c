using System.Globalization;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Benchmarks.Batch;

/// <summary>
/// Rows of a batch job: sixteen in flight, where a row that ends makes room for the next, beside one at a time and beside batches of sixteen that end together; and what memory
/// <c>longcat score</c> takes beside what it was given for its caches.
/// </summary>
internal static class BatchBenchmark
{
    private const string Part = "batch";
    private const int InFlight = 16;
    private const double TimesAsked = 3;

    /// <summary>What the same process may take more or less from run to run: heaps of .NET that were or were not collected.</summary>
    private const double Tolerance = 32e6;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        int threads = Math.Min(2, Environment.ProcessorCount);
        BenchmarkShape shape = models.Shapes[1];
        Console.Error.WriteLine($"{Part}: exporting {shape.Name}");
        using BenchmarkModel model = models.Export(shape, "w4a8", new ExportOptions { Precision = WeightPrecision.W4A8, CacheType = CacheType.BFloat16, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } });
        return [.. Engine(model, threads, options), .. Jobs(model, models, threads, options), .. Memory(model, models, threads, options)];
    }

    /// <summary>The engine alone, rows of very different lengths.</summary>
    private static IEnumerable<Figure> Engine(BenchmarkModel model, int threads, BenchmarkOptions options)
    {
        int count = options.Quick ? 24 : 48;
        using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { Threads = threads });
        Prompts prompts = new(model.Config.VocabSize);
        (int Prompt, int New)[] lengths = Lengths(count);
        int tokens = lengths.Sum(length => length.New);
        engine.GenerateAsync(prompts.Request(64, 4)).GetAwaiter().GetResult();
        Func<GenerationRequest[], Task>[] ways = [rows => InFlightAsync(engine, rows), rows => BatchesAsync(engine, rows), rows => OneByOneAsync(engine, rows)];
        (Series[] series, double[] times) = Series.InTurns(
            options.Quick ? 1 : 3,
            ways.Length,
            i =>
            {
                // Rows of their own each time, or their prompts would still be in the cache.
                GenerationRequest[] rows = [.. lengths.Select(length => prompts.Request(length.Prompt, length.New))];
                return tokens / Series.Seconds(() => ways[i](rows).GetAwaiter().GetResult());
            },
            warmUp: false);
        string[] names = [$"{InFlight} in flight", $"batches of {InFlight}", "one at a time"];
        for (int i = 0; i < ways.Length; i++)
        {
            Figure figure = series[i].ToFigure(
                Part, $"{model.Name}: {count} rows, {names[i]}", "tokens/s", threads, ("rows/s", series[i].Best * count / tokens), ("tokens/row", (double)tokens / count), ("times one at a time", times[i]));
            yield return i > 0 ? figure : figure with { Verdict = Verdict(times[0]) };
        }
    }

    /// <summary>The tool, as it is run in a job, rows from a file and into one.</summary>
    private static IEnumerable<Figure> Jobs(BenchmarkModel model, BenchmarkModels models, int threads, BenchmarkOptions options)
    {
        const int NewTokens = 32;
        int count = options.Quick ? 16 : 48;
        string input = Rows(models, "rows.jsonl", count, words: 4), output = models.Scratch("scored.jsonl");
        ScoreRun[] runs = [.. new[] { InFlight, 1 }.Select(rows => ScoreProcess.Run(model.Folder, input, output, threads, rows, NewTokens, 1L << 30))];
        double times = runs[0].RowsPerSecond / runs[1].RowsPerSecond;
        yield return Row($"{InFlight} in flight", runs[0], times) with { Verdict = Verdict(times) };
        yield return Row("one at a time", runs[1], 1);

        Figure Row(string name, ScoreRun run, double ratio) => new(
            Part, $"{model.Name}: longcat score, {count} rows, {name}", threads, "rows/s", run.RowsPerSecond, run.RowsPerSecond, 0, 1,
            new Dictionary<string, double> { ["rows/s"] = run.RowsPerSecond, ["tokens/row"] = NewTokens, ["times one at a time"] = ratio });
    }

    /// <summary>
    /// The tool's memory with caches of several sizes and more rows than any of them holds. With the smallest size the caches are full, so what remains is what the process takes besides; with the others it must not be more.
    /// </summary>
    private static IEnumerable<Figure> Memory(BenchmarkModel model, BenchmarkModels models, int threads, BenchmarkOptions options)
    {
        const int NewTokens = 24;
        long unit = options.Quick ? 1L << 18 : 1L << 24;
        long[] budgets = [4 * unit, 8 * unit, 16 * unit, 32 * unit];  // one row of the Qwen3 shape takes 18 MB
        string input = Rows(models, "long-rows.jsonl", options.Quick ? 8 : 24, words: 36), output = models.Scratch("scored.jsonl");
        double weights = Directory.EnumerateFiles(model.Folder, "*.data*").Sum(file => new FileInfo(file).Length), besides = 0;
        foreach (long budget in budgets)
        {
            Console.Error.WriteLine($"{Part}: caches of {budget >> 10} KiB");
            ScoreRun run = ScoreProcess.Run(model.Folder, input, output, threads, InFlight, NewTokens, budget);
            besides = besides == 0 ? run.PeakPrivate - budget : besides;
            double over = run.PeakPrivate - besides - budget;
            yield return new Figure(
                Part, $"{model.Name}: longcat score, caches of {(budget >= 1 << 20 ? $"{budget >> 20} MiB" : $"{budget >> 10} KiB")}", threads, "MB of its own at most", run.PeakPrivate / 1e6, run.PeakPrivate / 1e6, 0, 1,
                new Dictionary<string, double>
                {
                    ["rows/s"] = run.RowsPerSecond, ["budget MB"] = budget / 1e6, ["besides MB"] = (run.PeakPrivate - budget) / 1e6, ["resident MB"] = run.PeakResident / 1e6, ["weight files MB"] = weights / 1e6,
                })
            {
                Verdict = over <= Tolerance ? "within" : string.Create(CultureInfo.InvariantCulture, $"missed: {over / 1e6:F0} MB more than the budget and what the process takes besides"),
            };
        }
    }

    /// <summary>Rows of 8 to 64 prompt tokens and as many new ones, each length about as often: the longest takes eight times as long as the shortest.</summary>
    private static (int Prompt, int New)[] Lengths(int count)
    {
        Random random = new(7);
        return [.. Enumerable.Range(0, count).Select(_ => (random.Next(8, 65), random.Next(8, 65)))];
    }

    private static async Task InFlightAsync(InferenceEngine engine, GenerationRequest[] rows)
    {
        using SemaphoreSlim places = new(InFlight);
        await Task.WhenAll(rows.Select(async row =>
        {
            await places.WaitAsync().ConfigureAwait(false);
            await engine.GenerateAsync(row).ConfigureAwait(false);
            places.Release();
        })).ConfigureAwait(false);
    }

    private static async Task BatchesAsync(InferenceEngine engine, GenerationRequest[] rows)
    {
        foreach (GenerationRequest[] batch in rows.Chunk(InFlight))
        {
            await Task.WhenAll(batch.Select(row => engine.GenerateAsync(row))).ConfigureAwait(false);
        }
    }

    private static async Task OneByOneAsync(InferenceEngine engine, GenerationRequest[] rows)
    {
        foreach (GenerationRequest row in rows)
        {
            await engine.GenerateAsync(row).ConfigureAwait(false);
        }
    }

    /// <summary>A file of rows that differ from their first words on; the generated tokenizer makes a token of every byte.</summary>
    private static string Rows(BenchmarkModels models, string name, int count, int words)
    {
        string path = models.Scratch(name);
        Prompts prompts = new(vocabSize: 256);
        File.WriteAllLines(path, Enumerable.Range(0, count).Select(i => JsonSerializer.Serialize(new { id = i, text = string.Join(' ', Enumerable.Range(0, (words + 3) / 4).Select(_ => prompts.Short())) })));
        return path;
    }

    private static string Verdict(double times) =>
        times >= TimesAsked ? "reached" : string.Create(CultureInfo.InvariantCulture, $"missed: {times:F2} times one at a time, {TimesAsked} asked");
}
