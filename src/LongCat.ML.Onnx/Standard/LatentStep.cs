namespace LongCat.ML.Onnx;

/// <summary>What all latent attentions of a step share.</summary>
/// <param name="Inputs">The graph's inputs.</param>
/// <param name="CacheRows">int64 [batch, sequence, 3]: where each new token lies in a cache.</param>
/// <param name="Bias">float [batch, sequence, 1, total]: 0 where a token may look, a very negative number elsewhere.</param>
/// <param name="StreamingBias">The same for streaming attentions; none in a model without.</param>
/// <param name="HeadRows">The shape [batch, 1, sequence · heads, rank + rope].</param>
/// <param name="Scores">The shape [batch, sequence, heads, total].</param>
/// <param name="FlatScores">The shape [batch, 1, sequence · heads, total].</param>
/// <param name="HeadValues">The shape [batch, sequence, heads · value].</param>
/// <param name="Hidden">The shape [batch, sequence, hidden].</param>
/// <param name="Rotary">Cosines and sines.</param>
internal sealed record LatentStep(
    PaddedInputs Inputs, Value CacheRows, Value Bias, Value StreamingBias, Value HeadRows, Value Scores, Value FlatScores, Value HeadValues, Value Hidden, RotaryTables Rotary);
