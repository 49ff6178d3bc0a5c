namespace LongCat.ML.Onnx;

/// <summary>What linear layers read, in the form that the graph's writer gives it.</summary>
/// <param name="Site">What the writer knows about it.</param>
/// <param name="Value">The float32 value; <see cref="Onnx.Value.None"/> where nothing reads it as such.</param>
/// <param name="Rows">The same in 8 bits; null in float graphs, and where the product itself rounds its rows.</param>
internal sealed record LinearInput(SiteTrace Site, Value Value, QuantizedRows? Rows = null);

/// <summary>Rows in 8 bits: int8 [T, K], the scale of each row, float32 [T], and its sums over the weights' groups, int32 [T, groups].</summary>
internal sealed record QuantizedRows(Value Rows, Value Scale, Value Sums);
