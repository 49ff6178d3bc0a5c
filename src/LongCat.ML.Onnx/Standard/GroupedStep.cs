namespace LongCat.ML.Onnx;

/// <summary>What all grouped-query attentions of a step share.</summary>
/// <param name="Inputs">The graph's inputs.</param>
/// <param name="LastPosition">int32 [batch]: the tokens of each sequence after this step, less one.</param>
/// <param name="Total">int32 without dimensions: the longest sequence after this step.</param>
/// <param name="Hidden">The shape [batch, sequence, hidden].</param>
/// <param name="Rotary">Cosines and sines.</param>
/// <param name="StreamingBias">float [batch, 1, sequence, total]: 0 where a streaming attention looks, a very negative number elsewhere; none in a model without.</param>
internal sealed record GroupedStep(PaddedInputs Inputs, Value LastPosition, Value Total, Value Hidden, RotaryTables Rotary, Value StreamingBias);
