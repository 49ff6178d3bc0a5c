namespace LongCat.ML.Onnx.Adapters;

/// <summary>A module of a graph that can take adapters, and how its base matrix W [N, K] is stored: DoRA's norms and merged matrices are computed from it.</summary>
public sealed record AdaptableModule
{
    /// <summary>The module's path in the checkpoint: <c>model.layers.0.self_attn.0.q_a_proj</c>, <c>lm_head</c>.</summary>
    public required string Module { get; init; }

    /// <summary>How the graph takes adapters of it.</summary>
    public required AdaptableModuleKind Kind { get; init; }

    /// <summary>The operator that multiplies with the matrix or holds it: <c>MatMul</c>, <c>W4A8MatMul</c>, <c>W8A8MatMul</c> or <c>LatentAttention</c>.</summary>
    public required string Operator { get; init; }

    /// <summary>K, what the module reads. Of a bfloat16 matrix in panels whose K is odd, one more: the panels do not say which.</summary>
    public required long InFeatures { get; init; }

    /// <summary>N, what the module gives.</summary>
    public required long OutFeatures { get; init; }

    /// <summary>The initializer of W: its elements are rows, panels, or packed integers as <see cref="Operator"/> and <see cref="Layout"/> say.</summary>
    public required AdaptableTensor Weight { get; init; }

    /// <summary>The initializer with the scales of W4A8MatMul and W8A8MatMul, float32 [N]; null for floats.</summary>
    public AdaptableTensor? Scale { get; init; }

    /// <summary>The attribute <c>layout</c> of the operator; 0 where it has none.</summary>
    public long Layout { get; init; }

    /// <summary>The attribute <c>group_size</c> of W4A8MatMul; 0 elsewhere.</summary>
    public int GroupSize { get; init; }

    /// <summary>The attribute <c>group_scale_bytes</c> of W4A8MatMul; 0 elsewhere.</summary>
    public int GroupScaleBytes { get; init; }

    /// <summary>Whether the module adds a bias.</summary>
    public bool HasBias { get; init; }
}
