// A checkpoint becomes an ONNX folder, and the folder runs twice: in plain ONNX Runtime with the operator library, and in the engine.
using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using OnnxExport;
using QuickStart;

const int NewTokens = 48;
string checkpoint = args.Length > 0 ? args[0] : Checkout.Folder("samples/models/longcat-nano");
string prompt = args.Length > 1 ? args[1] : "List<T>.Contains(T item) method\n";
string work = Directory.CreateTempSubdirectory("longcat-export-").FullName;
try
{
    // 1. Export once in each precision. A tensor keeps its bytes where its type stays; bfloat16 halves a float32 checkpoint.
    Console.WriteLine($"checkpoint: {Directory.EnumerateFiles(checkpoint, "*.safetensors").Sum(file => new FileInfo(file).Length):N0} bytes of safetensors");
    string folder = "";
    foreach (WeightPrecision precision in new[] { WeightPrecision.F32, WeightPrecision.BF16 })
    {
        ExportResult export = OnnxExporter.Export(checkpoint, Path.Combine(work, $"{precision}"), new ExportOptions { Precision = precision });
        Console.WriteLine($"{precision}: {export.TensorCount} tensors, {export.DataBytes:N0} bytes of weights, in {export.Elapsed.TotalSeconds:0.00} s");
        folder = export.Folder;
    }

    // 2. What is inside.
    Console.WriteLine();
    foreach (FileInfo file in new DirectoryInfo(folder).EnumerateFiles().OrderBy(file => file.Name, StringComparer.Ordinal))
    {
        Console.WriteLine($"  {file.Length,12:N0}  {file.Name}");
    }

    ModelManifest manifest = ModelManifest.Read(folder);
    Console.WriteLine($"  {manifest.Architecture}, {manifest.VocabSize} tokens, {manifest.Caches.Count} caches, {manifest.Caches.Sum(cache => cache.Width)} numbers per cached token");

    // 3. Plain ONNX Runtime: a session, the operator library, the graph's inputs.
    HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder);
    IReadOnlyList<int> ids = tokenizer.Encode(prompt);
    Stopwatch clock = Stopwatch.StartNew();
    List<int> plain;
    using (PlainOnnxRuntime runtime = new(folder, ids.Count + NewTokens))
    {
        Console.WriteLine();
        Console.WriteLine($"model.onnx takes   {string.Join("\n                   ", runtime.Inputs)}");
        Console.WriteLine($"model.onnx returns {string.Join("\n                   ", runtime.Outputs)}");
        plain = runtime.Complete(ids, NewTokens);
    }

    Console.WriteLine();
    Console.WriteLine($"plain ONNX Runtime, {plain.Count} tokens, opened and completed in {clock.Elapsed.TotalSeconds:0.00} s:");
    Console.WriteLine(prompt + tokenizer.Decode(plain, skipSpecialTokens: true));

    // 4. The engine: the same folder, many requests at once, paged caches.
    clock.Restart();
    using InferenceEngine engine = InferenceEngine.Load(folder);
    GenerationResult result = await engine.GenerateAsync(new GenerationRequest { PromptIds = ids, Options = new GenerationOptions { MaxNewTokens = NewTokens } });
    Console.WriteLine();
    Console.WriteLine($"engine, {result.Ids.Count} tokens, opened and completed in {clock.Elapsed.TotalSeconds:0.00} s: the tokens are {(result.Ids.SequenceEqual(plain) ? "the same" : "DIFFERENT")}");
    return result.Ids.SequenceEqual(plain) ? 0 : 1;
}
finally
{
    Directory.Delete(work, recursive: true);
}
