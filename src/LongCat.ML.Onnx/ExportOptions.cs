using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>How a checkpoint is exported. Immutable; the defaults suit a first try.</summary>
public sealed record ExportOptions
{
    /// <summary>
    /// Which operators the graph uses: LongCat.ML's own (the default), or only those of ONNX and com.microsoft, for any runtime without LongCat.ML's library.
    /// Standard operators compute in float32, from weights in float32 or <see cref="WeightPrecision.Int4"/>: no <see cref="WeightPrecision.BF16"/>, no bfloat16 caches, and no draft head.
    /// </summary>
    public OperatorSet Operators { get; init; }

    /// <summary>
    /// How matrices and tables are stored; null (the default) keeps the checkpoint's own precision: float32 where its output head is float32
    /// or float16 (bfloat16 would lose digits of either), bfloat16 otherwise.
    /// </summary>
    public WeightPrecision? Precision { get; init; }

    /// <summary>Whether the draft head is written as draft.onnx where the checkpoint has one; true by default.</summary>
    public bool IncludeDraft { get; init; } = true;

    /// <summary>The element type of the attention caches; float32 by default. bfloat16 halves the memory and moves the logits by about 1 in 100.</summary>
    public CacheType CacheType { get; init; } = CacheType.Float32;

    /// <summary>Whether an earlier export under the same name is replaced; false by default. Any other folder with files in it is never replaced.</summary>
    public bool Overwrite { get; init; }

    /// <summary>
    /// The epsilon of the norms inside latent attention; null (the default) keeps the configuration's, 1e-6 as in the reference implementation.
    /// Some serving engines use <c>rms_norm_eps</c> instead. Positive and finite.
    /// </summary>
    public double? LatentNormEps { get; init; }
}
