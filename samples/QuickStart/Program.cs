// The whole job: a LongCat-Flash-Lite checkpoint becomes scored rows in an ML.NET pipeline, and the saved pipeline scores them again. Then the model learns a task and is compressed to 4 bits.
using System.Diagnostics;
using LongCat.ML;
using LongCat.ML.Onnx;
using LongCat.ML.Training.Corpus;
using Microsoft.ML;
using QuickStart;

Stopwatch clock = Stopwatch.StartNew();
int count = args.Length > 0 ? int.Parse(args[0], System.Globalization.CultureInfo.InvariantCulture) : 120;
int steps = args.Length > 1 ? int.Parse(args[1], System.Globalization.CultureInfo.InvariantCulture) : 300;
string checkpoint = Checkout.Folder("samples/models/longcat-nano");
string work = Directory.CreateTempSubdirectory("longcat-quickstart-").FullName;
MLContext mlContext = new(seed: 1);

try
{
    // 1. Export: weights in bfloat16, with our operators.
    ExportResult onnx = mlContext.LongCat().ExportToOnnx(checkpoint, Path.Combine(work, "longcat-nano-onnx"));
    Console.WriteLine($"exported {onnx.TensorCount} tensors, {onnx.DataBytes / 1e6:0.0} MB, in {onnx.Elapsed.TotalSeconds:0.0} s");

    // 2. Rows the model never saw.
    HeldOutRows held = HeldOutRows.Read(Path.Combine(checkpoint, "held-out.txt"), count, Tuning.TrainingRows);
    Console.WriteLine(held.Origin);
    IDataView rows = mlContext.Data.LoadFromEnumerable(held.Rows);

    // 3. A pipeline: complete the signature, then choose a namespace group for the documented member.
    IEstimator<ITransformer> pipeline = mlContext.LongCat()
        .Generate(new GenerateOptions
        {
            ModelFolder = onnx.Folder,
            InputColumnName = nameof(ApiRow.Signature),
            OutputColumnName = nameof(ScoredRow.Summary),
            MaxNewTokens = 48,
            StopStrings = ["\n"],
        })
        .Append(mlContext.LongCat().Classify(new ClassifyOptions
        {
            ModelFolder = onnx.Folder,
            InputColumnName = nameof(ApiRow.Documentation),
            PromptTemplate = ClassifyOptions.TextPlaceholder,
            Labels = held.Groups,
            LabelTexts = [.. held.Groups.Select(ApiDocument.GroupContinuation)],
        }));
    ITransformer model = pipeline.Fit(rows);
    IDataView scored = model.Transform(rows);

    Console.WriteLine();
    Console.WriteLine("schema after the pipeline:");
    foreach (DataViewSchema.Column column in scored.Schema)
    {
        Console.WriteLine($"  {column.Name,-18} {column.Type}");
    }

    // 4. Score.
    Stopwatch scoring = Stopwatch.StartNew();
    List<ScoredRow> results = [.. mlContext.Data.CreateEnumerable<ScoredRow>(scored, reuseRowObject: false)];
    scoring.Stop();

    Console.WriteLine();
    Console.WriteLine("completions of signatures the model never saw (greedy):");
    foreach (ScoredRow row in Enumerable.Range(0, 5).Select(i => results[i * results.Count / 5]))
    {
        Console.WriteLine($"  {row.Member}");
        Console.WriteLine($"    model:         {row.Summary}");
        Console.WriteLine($"    documentation: {row.TrueSummary}");
    }

    double accuracy = results.Average(row => row.PredictedLabel > 0 && held.Groups[(int)row.PredictedLabel - 1] == row.TrueGroup ? 1.0 : 0.0);
    double majority = results.Average(row => row.TrueGroup == held.MajorityGroup ? 1.0 : 0.0);
    Console.WriteLine();
    Console.WriteLine($"namespace group out of {held.Groups.Count}, zero-shot: accuracy {accuracy:P1}; always '{held.MajorityGroup}': {majority:P1}");
    Console.WriteLine($"{results.Count} rows in {scoring.Elapsed.TotalSeconds:0.0} s: {results.Count / scoring.Elapsed.TotalSeconds:0.0} rows/s (a completion and {held.Groups.Count} scored labels each)");

    // 5. Save, load with plain ML.NET, score again.
    string zip = Path.Combine(work, "pipeline.zip");
    mlContext.Model.Save(model, rows.Schema, zip);
    MLContext another = new(seed: 1);
    ITransformer loaded = another.Model.Load(zip, out _);
    IDataView few = another.Data.LoadFromEnumerable(held.Rows.Take(20));
    List<ScoredRow> again = [.. another.Data.CreateEnumerable<ScoredRow>(loaded.Transform(few), reuseRowObject: false)];
    int equal = again.Zip(results).Count(pair =>
        pair.First.Summary == pair.Second.Summary && pair.First.PredictedLabel == pair.Second.PredictedLabel && pair.First.Score.SequenceEqual(pair.Second.Score));
    Console.WriteLine($"saved, loaded with plain mlContext.Model.Load ({new FileInfo(zip).Length / 1024.0:0.0} KiB without the weights), scored again: {equal} of {again.Count} rows are equal");

    // 6. Fine-tuning and compression.
    Console.WriteLine();
    Tuning.Run(mlContext, checkpoint, onnx.Folder, held, steps, work);
    Console.WriteLine();
    Console.WriteLine($"all of it took {clock.Elapsed.TotalSeconds:0} s");
    return equal == again.Count ? 0 : 1;
}
finally
{
    mlContext.LongCat().Release();
    Directory.Delete(work, recursive: true);
}
