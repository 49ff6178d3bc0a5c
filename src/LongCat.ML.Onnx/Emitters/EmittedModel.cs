using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The graphs of a model and what the manifest says about them.</summary>
/// <param name="Model">model.onnx.</param>
/// <param name="Draft">draft.onnx, or null.</param>
/// <param name="Caches">The caches of model.onnx.</param>
/// <param name="DraftCaches">The caches of draft.onnx, null without one.</param>
/// <param name="NgramNeighbors">The longest n-gram, 0 without an n-gram embedding.</param>
internal sealed record EmittedModel(GraphBuilder Model, GraphBuilder? Draft, IReadOnlyList<CacheLayout> Caches, IReadOnlyList<CacheLayout>? DraftCaches, int NgramNeighbors)
{
    /// <summary>Small files that other runtimes read beside the graph, by name.</summary>
    public IReadOnlyDictionary<string, byte[]> OtherFiles { get; init; } = new Dictionary<string, byte[]>();
}
