using System.Diagnostics;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks;

/// <summary>How long an engine takes to start, and how fast a checkpoint is exported, beside a plain copy of as many bytes.</summary>
internal static class StartBenchmark
{
    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        BenchmarkShape shape = models.Shapes[^1];
        using BenchmarkModel generated = models.Export(shape, "bf16", new ExportOptions());

        // Also pays for loading libraries and compiling code.
        double first = Start(generated, answer: true);
        foreach (BenchmarkModel model in new[] { generated, models.Nano })
        {
            Console.Error.WriteLine($"start: {model.Name}");
            foreach (bool answer in new[] { false, true })
            {
                yield return Series.Of(options.Repetitions, higherIsBetter: false, () => Start(model, answer)).ToFigure(
                    "start", $"{model.Name}: {(answer ? "first token of a 16-token prompt" : "engine loaded")}", "ms", Environment.ProcessorCount,
                    answer && model == generated ? [("first in the process", first)] : []);
            }
        }

        Console.Error.WriteLine($"export: {generated.Name}");
        string source = Path.Combine(generated.CheckpointFolder, "model.safetensors"), exported = models.Scratch("exported"), copied = models.Scratch("copied");
        long bytes = new FileInfo(source).Length;
        (Series export, Series copy, double ratio) = Series.InTurns(options.RepetitionsOf(!options.Quick), () =>
        {
            double exporting = Series.Seconds(() => OnnxExporter.Export(generated.CheckpointFolder, exported));
            double copying = Series.Seconds(() => Copy(source, copied));
            Directory.Delete(exported, recursive: true);
            File.Delete(copied);
            return (bytes / 1e6 / exporting, bytes / 1e6 / copying);
        });
        yield return export.ToFigure("start", $"{generated.Name}: export", "MB/s", 0, ("times the copy", ratio));
        yield return copy.ToFigure("start", $"{generated.Name}: plain copy of the checkpoint", "MB/s", 0, ("times the copy", 1));
    }

    /// <summary>Milliseconds until the engine is loaded or has answered; closing it is not among them.</summary>
    private static double Start(BenchmarkModel model, bool answer)
    {
        GenerationRequest request = new Prompts(model.Config.VocabSize).Request(16, newTokens: 1);
        long start = Stopwatch.GetTimestamp();
        using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        if (answer)
        {
            engine.GenerateAsync(request).GetAwaiter().GetResult();
        }

        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    /// <summary>Through memory and flushed to disk, as the export is; the file system may not share the blocks.</summary>
    private static void Copy(string source, string destination)
    {
        using FileStream input = File.OpenRead(source);
        using FileStream output = File.Create(destination);
        input.CopyTo(output, 1 << 20);
        output.Flush(flushToDisk: true);
    }
}
