using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks;

/// <summary>A checkpoint and its export, which is made here.</summary>
internal sealed class BenchmarkModel(string name, string checkpoint, string folder, ExportOptions options) : IDisposable
{
    public string CheckpointFolder => checkpoint;

    public string Folder => folder;

    public ModelManifest Manifest { get; } = OnnxExporter.Export(checkpoint, folder, options).Manifest;

    public ModelConfig Config { get; } = ModelConfig.Load(checkpoint);

    public string Name => name;

    public string NameAndSize => $"{name}, {Config.ExpectedTensors(false).Sum(tensor => tensor.ElementCount) / 1e6:F0} M";

    /// <summary>
    /// Bytes of weights that one decoding step of so many sequences reads at least: every matrix once, of the tables one row per sequence. Experts are counted
    /// as if the router chose all of them equally often, so an expert is needed with probability 1 - (1 - k/(E+Z))^sequences.
    /// </summary>
    public double StepBytes(int sequences)
    {
        double width = Manifest.Precision == WeightPrecision.BF16 ? 2 : 4, bytes = 0;
        double expert = Config is LongcatFlashConfig flash
            ? 1 - Math.Pow(1 - ((double)flash.MoeTopK / (flash.NumRoutedExperts + flash.NumZeroExperts)), sequences)
            : 1;
        IReadOnlyList<ExpectedTensor> tensors = Config.ExpectedTensors(withMtp: false);
        bool tied = !tensors.Any(tensor => tensor.Name == "lm_head.weight");
        foreach (ExpectedTensor tensor in tensors)
        {
            bool table = tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal);
            bytes += tensor.Group switch
            {
                _ when table && !tied => width * sequences * tensor.Shape[^1],
                TensorGroup.Experts => width * expert * tensor.ElementCount,
                TensorGroup.Router or TensorGroup.Norms => 4.0 * tensor.ElementCount,
                _ => width * tensor.ElementCount,
            };
        }

        return bytes;
    }

    /// <summary>Bytes that one token takes in the caches of all layers.</summary>
    public long TokenCacheBytes => Manifest.Caches.Sum(cache => (long)cache.Width) * Manifest.CacheType.ElementSize();

    public void Dispose() => Directory.Delete(folder, recursive: true);
}
