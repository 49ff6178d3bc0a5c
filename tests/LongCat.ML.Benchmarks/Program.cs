using System.Diagnostics;
using System.Globalization;
using LongCat.ML.Benchmarks;
using LongCat.ML.Benchmarks.Batch;
using LongCat.ML.Benchmarks.HeavyThinking;
using LongCat.ML.Benchmarks.Lora;
using LongCat.ML.Benchmarks.Quality;
using LongCat.ML.Benchmarks.Scale;
using LongCat.ML.Benchmarks.Speculation;
using LongCat.ML.Benchmarks.SparseVerification;
using LongCat.ML.Benchmarks.W4A8;
using LongCat.ML.Benchmarks.ZigZag;

if (args.Contains("--help"))
{
    Console.WriteLine(args is ["scale", ..] ? ScaleBenchmark.Usage : BenchmarkOptions.Usage);
    return 0;
}

try
{
    if (args is ["scale" or ScaleChild.Verb, ..])
    {
        return args[0] == "scale" ? ScaleBenchmark.Run(args[1..]) : ScaleChild.Run(args[1..]);
    }

    if (args is [NoisyNeighbour.Verb, string parent])
    {
        return NoisyNeighbour.Run(int.Parse(parent, CultureInfo.InvariantCulture));
    }

    if (args is [StudyChild.Verb, string job])
    {
        return StudyChild.Run(job);
    }

    if (args is [ThinkingChild.Verb, string thinking])
    {
        return ThinkingChild.Run(thinking);
    }

    if (args is [ThroughputBenchmark.Verb, string checkpoint, string which, string columns])
    {
        return ThroughputBenchmark.RunChild(checkpoint, which, int.Parse(columns, CultureInfo.InvariantCulture));
    }

    BenchmarkOptions options = BenchmarkOptions.Parse(args);

    // Models are made first: neither time nor load of that belongs to any figure.
    using BenchmarkModels models = new(options);
    if (options.Parts is ["quality"])
    {
        return QualityBenchmark.Run(options, models.Nano.CheckpointFolder, models.Scratch(""));
    }

    if (options.Parts is ["lora" or "lora-longer"])
    {
        return StudyBenchmark.Run(options, models.Nano.CheckpointFolder, models.Scratch("lora"));
    }

    if (options.Parts is [StreamingStudy.Part])
    {
        return StreamingStudy.Run(options, models.Nano.CheckpointFolder, models.Scratch(StreamingStudy.Part));
    }

    if (options.Parts is ["heavy-thinking"])
    {
        return HeavyThinkingBenchmark.Run(options, models.Nano.CheckpointFolder, models.Scratch("heavy-thinking"));
    }

    if (options.Parts is ["quality-fixtures"])
    {
        return FixtureBenchmark.Run(options, models);
    }

    Stopwatch time = Stopwatch.StartNew();
    OtherLoad others = new();

    // The start first, because only the first load of a process pays for what the runtime compiles.
    IEnumerable<IEnumerable<Figure>> parts =
    [
        options.Parts.Contains("start") ? StartBenchmark.Run(models, options) : [],
        options.Parts.Contains("engine") ? EngineBenchmark.Run(models, options) : [],
        options.Parts.Contains("matmul") ? MatMulBenchmark.Run(models, options) : [],
        options.Parts.Contains("ngram") ? NGramBenchmark.Run(models, options) : [],
        options.Parts.Contains("mlnet") ? PipelineBenchmark.Run(models, options) : [],
        options.Parts.Contains("w4a8") ? ProductBenchmark.Run(models, options) : [],
        options.Parts.Contains("w4a8-experts") ? ExpertMixtureBenchmark.Run(models, options) : [],
        options.Parts.Contains("lora-throughput") ? ThroughputBenchmark.Run(models, options) : [],
        options.Parts.Contains("lora-cost") ? StudyBenchmark.Costs(models, options) : [],
        options.Parts.Contains("w4a8-engine") ? W4A8EngineBenchmark.Run(models, options) : [],
        options.Parts.Contains("adapters") ? AdaptersBenchmark.Run(models, options) : [],
        options.Parts.Contains("attention") ? AttentionBenchmark.Run(options) : [],
        options.Parts.Contains("zigzag") ? LongContextBenchmark.Run(models, options) : [],
        options.Parts.Contains("sparse-verification") ? SparseVerificationBenchmark.Run(models, options) : [],
        options.Parts.Contains("batch") ? BatchBenchmark.Run(models, options) : [],
        options.Parts.Contains("million") ? MillionBenchmark.Run(models, options) : [],
        options.Parts.Contains("speculation") ? SpeculationBenchmark.Run(models, options) : [],
    ];
    List<Figure> figures = [];
    foreach (Figure figure in parts.SelectMany(part => part))
    {
        // A run takes long: whoever waits sees what is known.
        Console.Error.WriteLine($"  {figure}");
        figures.Add(figure);
    }

    Report report = new(MachineFacts.Read(), options.Quick, $"{DateTime.UtcNow:yyyy-MM-dd}", time.Elapsed.TotalSeconds, others.Cores(), figures);
    Console.WriteLine(report.ToMarkdown());
    return !options.Save || report.TrySave(options.Suffix, options.Parts is ["zigzag"] ? LongContextBenchmark.Picture(figures) : null) ? 0 : 1;
}
catch (Exception error) when (error is ArgumentException or InvalidOperationException or IOException)
{
    Console.Error.WriteLine($"error: {error.Message}");
    return error is ArgumentException ? 2 : 1;
}
