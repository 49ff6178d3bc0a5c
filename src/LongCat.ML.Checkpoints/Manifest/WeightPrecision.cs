namespace LongCat.ML.Checkpoints;

/// <summary>How the matrices and embedding tables of an exported model are stored. Norms, the router and rotary frequencies are float32 in both.</summary>
public enum WeightPrecision
{
    /// <summary>IEEE float32; written as <c>f32</c> in longcat.json.</summary>
    F32,

    /// <summary>bfloat16, the upper half of a float32; written as <c>bf16</c> in longcat.json.</summary>
    BF16,
}
