namespace LongCat.ML.Checkpoints;

/// <summary>How the matrices and embedding tables of an exported model are stored. Norms, the router and rotary frequencies are float32 in both.</summary>
public enum WeightPrecision
{
    /// <summary>IEEE float32; written as <c>f32</c> in longcat.json.</summary>
    F32,

    /// <summary>bfloat16, the upper half of a float32; written as <c>bf16</c> in longcat.json.</summary>
    BF16,

    /// <summary>
    /// 4 bits for each weight of a projection with a scale for every 32, rounded to nearest; written as <c>int4</c> in longcat.json. Everything else is as in <see cref="F32"/>.
    /// Only with <see cref="OperatorSet.Standard"/>.
    /// </summary>
    Int4,

    /// <summary>
    /// 4 bits for each weight of the projections and experts, multiplied with activations rounded to 8 bits (LongCat.ML.Quantization says how); written as <c>w4a8</c> in longcat.json.
    /// The output head has 8 bits, everything else the checkpoint's own precision. Only with <see cref="OperatorSet.LongCat"/>.
    /// </summary>
    W4A8,
}
