// JSON lines in, JSON lines out: our steps between ML.NET's own, over files that are never in memory.
using System.Diagnostics;
using BatchScoring;
using LongCat.ML;
using LongCat.ML.Onnx;
using LongCat.ML.Training.Corpus;
using Microsoft.ML;
using QuickStart;

string checkpoint = Checkout.Folder("samples/models/longcat-nano");
string work = Directory.CreateTempSubdirectory("longcat-batch-").FullName;
MLContext mlContext = new(seed: 1);
try
{
    // 1. The input: a file that is named, or rows of members that the model never saw.
    int count = args.Length == 1 ? int.Parse(args[0], System.Globalization.CultureInfo.InvariantCulture) : 64;
    HeldOutRows held = HeldOutRows.Read(Path.Combine(checkpoint, "held-out.txt"), count);
    string input = args.Length == 2 ? args[0] : Path.Combine(work, "rows.jsonl");
    string output = args.Length == 2 ? args[1] : Path.Combine(work, "scored.jsonl");
    if (args.Length < 2)
    {
        JsonLines.Write(input, held.Documents.Select(row => new ApiRow { Member = row.Id, Signature = row.Signature, Summary = row.Summary }));
    }

    // 2. The model.
    ExportResult onnx = mlContext.LongCat().ExportToOnnx(checkpoint, Path.Combine(work, "longcat-nano-onnx"));

    // 3. ML.NET's Expression builds the prompts, our steps complete and classify, ML.NET's MapKeyToValue turns keys into text and DropColumns tidies up.
    IEstimator<ITransformer> pipeline = mlContext.Transforms.Expression("Prompt", "(signature) : concat(signature, \"\\n\")", nameof(ApiRow.Signature))
        .Append(mlContext.Transforms.Expression(
            "Document", "(signature, summary) : concat(signature, \"\\n\", summary, \"\\nNamespace:\")", nameof(ApiRow.Signature), nameof(ApiRow.Summary)))
        .Append(mlContext.LongCat().Generate(new GenerateOptions
        {
            ModelFolder = onnx.Folder,
            InputColumnName = "Prompt",
            OutputColumnName = nameof(ScoredRow.Completion),
            MaxNewTokens = 32,
            StopStrings = ["\n"],
            OverlongRows = OverlongRow.TruncateLeft,
        }))
        .Append(mlContext.LongCat().Classify(new ClassifyOptions
        {
            ModelFolder = onnx.Folder,
            InputColumnName = "Document",
            PromptTemplate = ClassifyOptions.TextPlaceholder,
            Labels = held.Groups,
            LabelTexts = [.. held.Groups.Select(ApiDocument.GroupContinuation)],
            OverlongRows = OverlongRow.TruncateLeft,
        }))
        .Append(mlContext.Transforms.Conversion.MapKeyToValue(nameof(ScoredRow.Namespace), "PredictedLabel"))
        .Append(mlContext.Transforms.DropColumns("Prompt", "Document", "PredictedLabel", "FinishReason", "PromptTokens", "CompletionTokens"));

    // 4. Score. Nothing is read before a row is asked for, and no further ahead than MaxRowsInFlight.
    IDataView rows = mlContext.Data.LoadFromEnumerable(JsonLines.Read(input));
    ITransformer model = pipeline.Fit(rows);
    IDataView scored = model.Transform(rows);
    Console.WriteLine($"schema after the pipeline: {string.Join(", ", scored.Schema.Select(column => $"{column.Name} ({column.Type})"))}");
    Stopwatch clock = Stopwatch.StartNew();
    int written = JsonLines.Write(output, mlContext.Data.CreateEnumerable<ScoredRow>(scored, reuseRowObject: true)
        .Select(row => new ResultRow(row.Member, row.Completion, row.Namespace, row.Score.Length > 0 ? Math.Round(row.Score.Max(), 4) : 0)));
    clock.Stop();

    foreach (string path in new[] { input, output })
    {
        Console.WriteLine($"{Path.GetFileName(path)}, {new FileInfo(path).Length:N0} bytes:");
        foreach (string line in File.ReadLines(path).Take(3))
        {
            Console.WriteLine($"  {line}");
        }
    }

    Console.WriteLine($"{written} rows in {clock.Elapsed.TotalSeconds:0.0} s: {written / clock.Elapsed.TotalSeconds:0.0} rows/s (a completion and {held.Groups.Count} scored labels each)");
    return 0;
}
finally
{
    mlContext.LongCat().Release();
    Directory.Delete(work, recursive: true);
}
