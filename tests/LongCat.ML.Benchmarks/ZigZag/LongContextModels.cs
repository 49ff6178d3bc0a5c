using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>longcat-nano with a longer context (YaRN) and with some of its attentions streaming. Its weights were trained for neither: these models are for times and memory.</summary>
internal static class LongContextModels
{
    /// <summary>Every second attention, so that half of the model streams.</summary>
    public static IReadOnlyList<int> Alternate(ModelConfig config) => [.. Enumerable.Range(0, config.NumAttentions).Where(i => i % 2 == 1)];

    /// <summary>A checkpoint beside the original one's weights, and its export.</summary>
    /// <param name="models">Where longcat-nano is, and where folders may be made.</param>
    /// <param name="name">What the figures say.</param>
    /// <param name="maxPositions">The context, in tokens.</param>
    /// <param name="streaming">The attentions that stream; none: the full model.</param>
    /// <param name="options">How it is exported.</param>
    public static BenchmarkModel Export(BenchmarkModels models, string name, int maxPositions, IReadOnlyList<int> streaming, ExportOptions options)
    {
        string original = models.Nano.CheckpointFolder, folder = models.Scratch($"{name}-checkpoint".Replace(' ', '-'));
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.EnumerateFiles(original).Where(file => Path.GetFileName(file) != "config.json"))
        {
            File.CreateSymbolicLink(Path.Combine(folder, Path.GetFileName(file)), Path.GetFullPath(file));
        }

        ConfigEditor config = ConfigEditor.Load(Path.Combine(original, "config.json"));
        int trained = config.ToConfig().MaxPositions;
        if (maxPositions > trained)
        {
            config.SetContext(maxPositions, new RopeScaling { Type = RopeScalingType.Yarn, Factor = (double)maxPositions / trained, OriginalMaxPositions = trained });
        }

        config.SetStreaming(streaming.Count == 0 ? null : new StreamingAttentionConfig { AttentionLayers = streaming });
        config.Save(Path.Combine(folder, "config.json"));
        return new BenchmarkModel(name, folder, models.Scratch($"{name}-onnx".Replace(' ', '-')), options with { IncludeDraft = false });
    }
}
