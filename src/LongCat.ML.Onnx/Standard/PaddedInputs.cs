namespace LongCat.ML.Onnx;

/// <summary>The inputs of a padded graph and the two sizes that its shapes depend on.</summary>
/// <param name="InputIds">int64 [batch, sequence].</param>
/// <param name="AttentionMask">int64 [batch, total]: 1 for tokens in the cache after this step, 0 for padding behind them.</param>
/// <param name="PositionIds">int64 [batch, sequence], or none where the attention counts by itself.</param>
/// <param name="LogitsFrom">int64 [1], 0 when left out: the first position of the step whose logits are wanted.</param>
/// <param name="Batch">The batch as int64 [1].</param>
/// <param name="Total">The longest sequence after this step as int64 [1].</param>
internal sealed record PaddedInputs(Value InputIds, Value AttentionMask, Value PositionIds, Value LogitsFrom, Value Batch, Value Total);
