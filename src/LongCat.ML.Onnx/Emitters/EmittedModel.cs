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
    /// <summary>The inputs of model.onnx's linear layers; none from emitters of standard operators.</summary>
    public IReadOnlyList<SiteTrace> Sites { get; init; } = [];

    /// <summary>The inputs of draft.onnx's linear layers.</summary>
    public IReadOnlyList<SiteTrace> DraftSites { get; init; } = [];

    /// <summary>What the model's graph takes for sparse verification, or null.</summary>
    public SparseVerificationLayout? SparseVerification { get; init; }

    /// <summary>Small files that other runtimes read beside the graph, by name.</summary>
    public IReadOnlyDictionary<string, byte[]> OtherFiles { get; init; } = new Dictionary<string, byte[]>();
}
