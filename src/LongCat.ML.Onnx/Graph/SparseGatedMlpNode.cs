namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::SparseGatedMlp; up [I, H] and down [H, I] in panels, and both by channel, [I, H rounded up to 16].</summary>
internal sealed record SparseGatedMlpInputs(
    Value X, Value Activation, Value Up, Value Down, Value UpChannels, Value DownChannels, Value UpBias, Value DownBias, Value Residual, Value Rows, Value Threshold);
