// A long context at half the price: longcat-nano's context is extended, half of its attentions become streaming (ZigZag), and one long prompt runs through both models.
using System.Diagnostics;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;
using LongContext;
using QuickStart;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
int length = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 32_768;
int steps = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 30;
string nano = Checkout.Folder("samples/models/longcat-nano");
string work = Directory.CreateTempSubdirectory("longcat-long-context-").FullName;
const int NewTokens = 32;

try
{
    // 1. The context. YaRN stretches the rotary frequencies; only config.json changes. A model that is to be of use at this length is fine-tuned afterwards (`longcat-train lora --method full`): the weights know
    // nothing of it yet.
    int context = Math.Max(length + NewTokens, 4096);
    ContextExtension extension = new() { MaxPositions = context };
    string full = CheckpointCopy.Write(nano, config => config.SetContext(context, extension.ScalingFor(config.ToConfig())), Path.Combine(work, "full"));
    ModelConfig model = ModelConfig.Load(full);
    Console.WriteLine($"context: {ModelConfig.Load(nano).MaxPositions} -> {model.MaxPositions} tokens by YaRN, factor {model.Rope.Scaling!.Factor:0.##}");

    // 2. The calibration. Every attention's output becomes α · full + (1 - α) · streaming, and α alone is trained, on texts longer than what a streaming attention sees. The pattern is the published one: the first
    // block of 128 tokens and the seven latest.
    HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(nano);
    ExampleEncoder encoder = new(tokenizer, model);
    ZigZagCalibrationOptions settings = new() { Steps = steps, BatchRows = 1, Columns = 2048, LearningRate = 3e-2, SaveEvery = 0 };
    Console.WriteLine($"calibrating {model.NumAttentions} attentions, {steps} steps on rows of {settings.Columns} tokens:");
    ZigZagCalibration calibration;
    using (ZigZagCalibrator calibrator = ZigZagCalibrator.Create(full, LongDocumentation.Texts(Math.Min(steps, 32), 16_384).Select(encoder.Text), null, settings))
    {
        calibrator.Run();
        calibration = calibrator.Result;

        // A picture and a table of all α, to be looked at in a browser.
        Console.WriteLine($"  {Path.GetFileName(calibrator.Save(Path.Combine(work, "calibration")))} written in {calibrator.Elapsed.TotalSeconds:0} s");
    }

    // 3. The choice. The half of lowest α loses least; the names of these attentions and the pattern go into config.json, the weights stay as they are. Fine-tuning afterwards is fine-tuning as ever: the modules read
    // the pattern from config.json.
    StreamingAttentionConfig streaming = calibration.Choose(share: 0.5);
    foreach (AttentionAlpha attention in calibration.Attentions)
    {
        Console.WriteLine($"  attention {attention.Attention}  {attention.Module,-28}  α {attention.Alpha:0.000}  {(streaming.IsStreaming(attention.Attention) ? "streaming" : "full")}");
    }

    string sparse = Path.Combine(work, "sparse");
    SparseCheckpoint.Write(full, streaming, extension: null, sparse);

    // 4. The export, and a long prompt.
    ExportOptions export = new() { Precision = WeightPrecision.BF16, IncludeDraft = false };
    int[] prompt = [.. encoder.Text(LongDocumentation.Prompt(length * 8)).Ids.Take(length)];
    Console.WriteLine($"a prompt of {prompt.Length} tokens, {NewTokens} new ones:");
    (string Name, string Checkpoint)[] models = [("full", full), ("half streaming", sparse)];
    foreach ((string name, string checkpoint) in models)
    {
        string folder = OnnxExporter.Export(checkpoint, Path.Combine(work, name.Replace(' ', '-') + "-onnx"), export).Folder;

        // Caches for one sequence of the longest length. Of full attentions they grow with it; streaming ones give pages back that no later token can see, so they need a window only.
        using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { MaxSequences = 1, MemoryBudgetBytes = CacheBytes(ModelManifest.Read(folder), context) });
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = new GenerationOptions { MaxNewTokens = NewTokens, IgnoreEos = true } });
        EngineStatistics pages = engine.Statistics;
        long fullBytes = (long)pages.PeakPagesUsed * PageBytes(engine.Manifest, streaming: false), streamingBytes = (long)pages.PeakStreamingPagesUsed * PageBytes(engine.Manifest, streaming: true);
        double decode = (result.Ids.Count - 1) / (result.Elapsed - result.TimeToFirstToken).TotalSeconds;
        Console.WriteLine($"  {name,-15} prompt {prompt.Length / result.TimeToFirstToken.TotalSeconds,7:0} tokens/s, then {decode,5:0} tokens/s; "
            + $"pages {pages.PeakPagesUsed} full + {pages.PeakStreamingPagesUsed} streaming ({pages.StreamingPagesReturned} given back), caches {(fullBytes + streamingBytes) / 1e6:0.0} MB");
    }

    using Process process = Process.GetCurrentProcess();
    Console.WriteLine($"most memory of this process: {process.PeakWorkingSet64 / 1e6:0} MB, most of it from training");
    return 0;
}
finally
{
    Directory.Delete(work, recursive: true);
}

// What one token takes in all caches, if none streamed, times the tokens: the budget is the same for both models.
static long CacheBytes(ModelManifest manifest, long tokens) => (tokens + new EngineOptions().PageSize) * manifest.Caches.Sum(cache => (long)cache.Width) * manifest.CacheType.ElementSize();

static long PageBytes(ModelManifest manifest, bool streaming) =>
    new EngineOptions().PageSize * manifest.Caches.Where((_, i) => (manifest.Streaming?.IsStreaming(i) ?? false) == streaming).Sum(cache => (long)cache.Width) * manifest.CacheType.ElementSize();
