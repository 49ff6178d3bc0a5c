namespace LongCat.ML.Onnx;

/// <summary>The graph inputs that say which rows of a step are computed with a part of the model, and how small a part (arXiv 2512.21911); docs/design.md section 3.</summary>
/// <param name="Rows">uint8 [T]: 1 for the rows that may be, 0 for those that are computed in full.</param>
/// <param name="Attention">int32 [5]: the attentions' block size, dense length, share of the rest in thousandths, sink blocks, local blocks.</param>
/// <param name="Anchors">uint8 [attentions]: 1 for the attentions that choose blocks of their own.</param>
/// <param name="Threshold">float [1]: gated channels below it are skipped.</param>
/// <param name="Experts">int32 [1]: the most experts of a row that are skipped; none without mixtures.</param>
/// <param name="ExpertBetas">float [mixtures, top_k - 1]: the shares below which they are; none without mixtures.</param>
internal sealed record SparseInputs(Value Rows, Value Attention, Value Anchors, Value Threshold, Value Experts, Value ExpertBetas);
