namespace LongCat.ML.Onnx;

/// <summary>What an attention takes beside its other inputs where sparse rows may see chosen blocks of the context only.</summary>
/// <param name="Sparse">The step's inputs.</param>
/// <param name="Attention">Which attention it is: its place in <see cref="SparseInputs.Anchors"/> and the number in the names of its means and its blocks.</param>
/// <param name="Means">float [pages, width]: the mean of the keys of every page.</param>
/// <param name="Blocks">The blocks that the attention before it saw; none for the first one, which chooses always.</param>
internal sealed record SparseAttentionInputs(SparseInputs Sparse, int Attention, Value Means, Value Blocks)
{
    /// <summary>The graph output that carries the means.</summary>
    public string MeansOutput => $"block_means_out.{Attention}";

    /// <summary>The value that names the blocks which the sparse rows of every sequence see, int32 [S, heads, words].</summary>
    public string BlocksOutput => $"sparse_blocks.{Attention}";
}
