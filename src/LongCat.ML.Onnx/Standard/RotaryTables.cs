namespace LongCat.ML.Onnx;

/// <summary>The tables that com.microsoft's rotary operators read, each [positions, dim / 2].</summary>
internal sealed record RotaryTables(Value Cosine, Value Sine);
