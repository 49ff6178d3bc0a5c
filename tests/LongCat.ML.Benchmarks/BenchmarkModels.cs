using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks;

/// <summary>The models under test: longcat-nano and generated ones. Checkpoints of generated weights are kept below artifacts/bench, exports are temporary.</summary>
internal sealed class BenchmarkModels : IDisposable
{
    private readonly string temporary;

    public BenchmarkModels(BenchmarkOptions options)
    {
        // Beside the checkpoints: a folder for temporary files may lie in memory or on a disk of its own.
        string root = Path.Combine(Root, "artifacts", "bench");
        temporary = Directory.CreateDirectory(Path.Combine(root, $"exports-{Environment.ProcessId}")).FullName;
        Nano = new BenchmarkModel("longcat-nano", Path.Combine(Root, "samples", "models", "longcat-nano"), Path.Combine(temporary, "nano"), new ExportOptions { IncludeDraft = false });
        Shapes = options.Quick ? BenchmarkShape.Small : [BenchmarkShape.Llama, BenchmarkShape.Qwen, BenchmarkShape.Lite];
    }

    public static string Root { get; } = FindRoot();

    public BenchmarkModel Nano { get; }

    /// <summary>The Llama shape, the Qwen3 shape and the LongCat-Flash-Lite shape.</summary>
    public IReadOnlyList<BenchmarkShape> Shapes { get; }

    /// <summary>The checkpoint of a shape, generated where it does not exist.</summary>
    public static string Checkpoint(BenchmarkShape shape)
    {
        string folder = Path.Combine(Root, "artifacts", "bench", shape.Name.Replace(' ', '-'));
        GeneratedCheckpoint.Write(folder, shape.Config);
        return folder;
    }

    /// <summary>An export of a shape, to be deleted by the caller.</summary>
    public BenchmarkModel Export(BenchmarkShape shape, string variant, ExportOptions options) =>
        new($"{shape.Name} {variant}", Checkpoint(shape), Scratch($"{shape.Name}-{variant}".Replace(' ', '-')), options with { IncludeDraft = false });

    /// <summary>A path for an export that is to be timed.</summary>
    public string Scratch(string name) => Path.Combine(temporary, name);

    public void Dispose() => Directory.Delete(temporary, recursive: true);

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "LongCat.ML.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException($"LongCat.ML.sln is in no folder above {AppContext.BaseDirectory}: the benchmarks run out of a checkout");
    }
}
