namespace LongCat.ML.Onnx;

/// <summary>What a mixture is told about sparse rows.</summary>
/// <param name="Rows">uint8 [T]: the rows that may leave experts out.</param>
/// <param name="Most">int32 [1]: how many at most.</param>
/// <param name="Betas">float [mixtures, top_k - 1]: the shares below which.</param>
/// <param name="Layer">The mixture's row of the betas.</param>
internal sealed record SparseExperts(Value Rows, Value Most, Value Betas, int Layer);
