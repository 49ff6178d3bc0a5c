namespace LongCat.ML;

/// <summary>How far a stage of a quantization has come.</summary>
/// <param name="Stage">The stage.</param>
/// <param name="Done">Bytes or tokens done.</param>
/// <param name="Total">Bytes or tokens of the whole stage.</param>
/// <param name="Detail">What is being worked on: a tensor, or a pass over the rows; null where there is nothing to say.</param>
public sealed record QuantizationProgress(QuantizationStage Stage, long Done, long Total, string? Detail);
