namespace LongCat.ML.Inference;

/// <summary>In which memory a model's weights lie while an engine runs it.</summary>
public enum WeightPages
{
    /// <summary>
    /// In the mapping of model.onnx.data, in pages of 4 KiB: loading reads nothing, memory is taken as weights are first used and shared by all processes that run the model.
    /// </summary>
    Mapped,

    /// <summary>
    /// Copied into anonymous memory in pages of 2 MiB (Linux, transparent huge pages): decoding needs fewer translations of addresses, loading reads every matrix once, and each engine has its own copy.
    /// Tables of which only rows are read (embeddings, n-gram tables) stay in the mapping.
    /// </summary>
    Huge,
}
