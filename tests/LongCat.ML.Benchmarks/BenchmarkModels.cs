using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Benchmarks;

/// <summary>The models under test: longcat-nano, exported to a temporary folder, and a generated one, kept below artifacts/bench.</summary>
internal sealed class BenchmarkModels : IDisposable
{
    // The proportions of LongCat-Flash-Lite (a third of the experts zero, a third of the parameters in n-gram tables) at a size that fits no cache.
    private static readonly RandomCheckpointOptions Whole = new()
    {
        VocabSize = 16384, HiddenSize = 768, Layers = 4, Heads = 8, LatentRank = 256, HeadDim = 64, RopeDim = 32, FfnSize = 1536,
        ExpertSize = 128, Experts = 32, ZeroExperts = 16, TopK = 6, MaxPositions = 2048, NGramRatio = 2.37, BFloat16 = true,
    };

    private static readonly RandomCheckpointOptions Small = Whole with { VocabSize = 2048, HiddenSize = 192, Layers = 2, LatentRank = 64, FfnSize = 384, ExpertSize = 32 };

    private readonly string temporary = Directory.CreateTempSubdirectory("longcat-bench-").FullName;

    public BenchmarkModels(BenchmarkOptions options)
    {
        Nano = new BenchmarkModel("longcat-nano", Path.Combine(Root, "samples", "models", "longcat-nano"), Path.Combine(temporary, "nano"));
        string shape = options.Quick ? "small" : "lite";
        string checkpoint = Path.Combine(Root, "artifacts", "bench", $"random-{shape}");
        if (!File.Exists(Path.Combine(checkpoint, "model.safetensors")))
        {
            Console.Error.WriteLine("generating random weights (once)");
            RandomCheckpoint.Write(checkpoint, options.Quick ? Small : Whole);
        }

        Random = new BenchmarkModel($"random {shape}", checkpoint, Path.Combine(temporary, "random"));
    }

    public static string Root { get; } = FindRoot();

    public BenchmarkModel Nano { get; }

    public BenchmarkModel Random { get; }

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

/// <summary>A checkpoint and its export, which is made here.</summary>
internal sealed class BenchmarkModel(string name, string checkpoint, string folder)
{
    public string CheckpointFolder => checkpoint;

    public string Folder => folder;

    public ModelManifest Manifest { get; } = OnnxExporter.Export(checkpoint, folder, new ExportOptions { IncludeDraft = false }).Manifest;

    public LongcatFlashConfig Config { get; } = (LongcatFlashConfig)ModelConfig.Load(checkpoint);

    public string Name => $"{name}, {Config.ExpectedTensors(false).Sum(tensor => tensor.ElementCount) / 1e6:F0} M";

    /// <summary>
    /// Bytes of weights that one decoding step of so many sequences reads at least: every matrix once, of the tables one row per sequence. Experts are counted
    /// as if the router chose all of them equally often, so an expert is needed with probability 1 - (1 - k/(E+Z))^sequences.
    /// </summary>
    public double StepBytes(int sequences)
    {
        double width = Manifest.Precision == WeightPrecision.BF16 ? 2 : 4, bytes = 0;
        double expert = 1 - Math.Pow(1 - ((double)Config.MoeTopK / (Config.NumRoutedExperts + Config.NumZeroExperts)), sequences);
        foreach (ExpectedTensor tensor in Config.ExpectedTensors(withMtp: false))
        {
            bool table = tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal);
            bytes += tensor.Group switch
            {
                _ when tensor.Name == "lm_head.weight" => width * tensor.ElementCount,
                _ when table => width * sequences * tensor.Shape[^1],
                TensorGroup.Experts => width * expert * tensor.ElementCount,
                TensorGroup.Router or TensorGroup.Norms => 4.0 * tensor.ElementCount,
                _ => width * tensor.ElementCount,
            };
        }

        return bytes;
    }
}
