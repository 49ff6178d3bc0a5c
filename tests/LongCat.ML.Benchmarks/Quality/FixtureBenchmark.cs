using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>
/// What the recipes keep of the golden fixtures' logits. Their weights are drawn and have learned no text, and the tokens that another implementation ran them on are drawn as well: random tokens of another seed are
/// what they are used with, so that calibration with data and without it are the same here.
/// </summary>
internal static class FixtureBenchmark
{
    /// <summary>Beside the fixture's own tokens: one or two prompts alone would tell agreement to two per cent only.</summary>
    private const int RandomRows = 16;

    private const int CalibrationRows = 64;
    private const int RowTokens = 64;

    /// <summary>What the fixtures allow float32 on another machine.</summary>
    private const double GoldenTolerance = 5e-5;

    public static int Run(BenchmarkOptions options, BenchmarkModels models)
    {
        if (GoldenFixtures.Absence is { } reason)
        {
            Console.Error.WriteLine($"skipped: {reason}");
            return 0;
        }

        string[] fixtures = [.. Directory.EnumerateDirectories(GoldenFixtures.Path()).Where(folder => File.Exists(Path.Combine(folder, "config.json")))
            .Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal)];
        List<FixtureResult> results = [];
        foreach (string fixture in options.Quick ? fixtures[..1] : fixtures)
        {
            results.Add(Measure(fixture, Directory.CreateDirectory(models.Scratch(fixture)).FullName, options.Quick));
            Console.Error.WriteLine(FormattableString.Invariant($"  {fixture}: {results[^1].Positions} positions, float32 within {results[^1].GoldenDifference:0.0e-0} of the golden logits"));
        }

        FixtureReport report = new(MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", CalibrationRows * RowTokens, results);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            QualityReport.Save("quality-fixtures", report, report.ToMarkdown());
        }

        return 0;
    }

    private static FixtureResult Measure(string fixture, string temporary, bool quick)
    {
        string checkpoint = GoldenFixtures.Path(fixture);
        using SafetensorsFile golden = SafetensorsFile.Open(Path.Combine(checkpoint, "golden.safetensors"));
        int[][] prompts = Rows(golden, "input_ids"), greedy = Rows(golden, "greedy_ids");
        int vocabulary = ModelConfig.Load(checkpoint).VocabSize;
        int[][] documents = [.. prompts.Zip(greedy, (prompt, next) => (int[])[.. prompt, .. next]), .. RandomTokens(2, RandomRows, vocabulary)];
        using QualitySubject subject = new(checkpoint, temporary, documents, RandomTokens(1, CalibrationRows, vocabulary), training: null);

        // The reference of every comparison must itself be right.
        double difference = golden.ReadFloat32("logits").Chunk(prompts[0].Length * vocabulary)
            .Select((exact, i) => exact.Zip(subject.Meter.Reference(i), (one, other) => Math.Abs((double)one - other)).Max()).Max();
        if (!(difference <= GoldenTolerance))
        {
            throw new InvalidOperationException(FormattableString.Invariant($"{fixture}: float32 logits are {difference:0.00e-0} from the golden ones, at most {GoldenTolerance:0e-0} is expected: nothing can be compared with them"));
        }

        QualityVariants steps = QualityVariants.Steps with { Variants = [.. QualityVariants.Steps.Variants.Where(variant => !variant.DataFree)] };
        return new FixtureResult(fixture, subject.Meter.Predicted, difference, [.. subject.Measure(QualityVariants.Recipes(quick).Append(steps))
            .Select(section => new FixtureSection(section.Title, [.. section.Figures.Select(figures => new FixtureFigures(figures.Name, figures.Agreement, figures.Divergence, figures.LogitError))]))]);
    }

    private static int[][] Rows(SafetensorsFile file, string name) => [.. file.ReadInt64(name).Select(id => (int)id).Chunk((int)file.Entry(name).Shape[^1])];

    private static int[][] RandomTokens(int seed, int rows, int vocabulary)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, rows).Select(_ => Enumerable.Range(0, RowTokens).Select(_ => random.Next(vocabulary)).ToArray())];
    }
}
