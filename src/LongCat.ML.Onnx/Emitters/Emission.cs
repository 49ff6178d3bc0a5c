using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>What an emitter is asked for.</summary>
/// <param name="Weights">The checkpoint's tensors.</param>
/// <param name="Data">Where the tensors of all graphs go.</param>
/// <param name="CacheType">The element type of the attention caches.</param>
/// <param name="Draft">Whether the draft graph is written too.</param>
/// <param name="NewWriter">Makes the writer of one graph.</param>
internal sealed record Emission(
    CheckpointWeights Weights, ExternalData Data, CacheType CacheType, bool Draft, Func<GraphBuilder, CheckpointWeights, ModelWriter> NewWriter)
{
    /// <summary>Whether the model's graph takes what sparse verification needs.</summary>
    public bool SparseVerification { get; init; }

    /// <summary>The writer of a new graph of that name.</summary>
    public ModelWriter Writer(string graph) => NewWriter(new GraphBuilder(graph, Data), Weights);
}
