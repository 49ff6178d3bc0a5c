namespace LongCat.ML.Onnx.Adapters;

/// <summary>A module of a graph that can take adapters, and how its base matrix W [N, K] is stored: DoRA's norms and merged matrices are computed from it.</summary>
public sealed record AdaptableModule
{
    /// <summary>The module's path in the checkpoint: <c>model.layers.0.self_attn.0.q_a_proj</c>, <c>lm_head</c>; of experts without their number, <c>model.layers.0.mlp.experts.up_proj</c>.</summary>
    public required string Module { get; init; }

    /// <summary>How the graph takes adapters of it.</summary>
    public required AdaptableModuleKind Kind { get; init; }

    /// <summary>The operator that multiplies with the matrix or holds it: <c>MatMul</c>, <c>W4A8MatMul</c>, <c>W8A8MatMul</c>, <c>LatentAttention</c> or <c>ExpertMixture</c>.</summary>
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

    /// <summary>How many experts' matrices <see cref="Weight"/> holds one behind the other; 0 where the module is no projection of experts.</summary>
    public int Experts { get; init; }

    /// <summary>One expert of <see cref="Experts"/>, its matrix alone, as if it were a product of its own.</summary>
    /// <param name="expert">Which, from 0.</param>
    /// <returns>The module.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such expert.</exception>
    public AdaptableModule Expert(int expert)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(expert);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(expert, Experts);
        int dot = Module.LastIndexOf('.');
        return this with
        {
            Module = $"{Module[..dot]}.{expert}{Module[dot..]}",
            Operator = Layout == PackedLayout ? "W4A8MatMul" : "MatMul",
            Weight = Part(Weight),
            Scale = Scale is null ? null : Part(Scale),
            Experts = 0,
        };

        AdaptableTensor Part(AdaptableTensor stack) => stack with
        {
            Shape = [.. stack.Shape.Skip(1)], Offset = stack.Offset + (stack.Length / Experts * expert), Length = stack.Length / Experts,
        };
    }

    /// <summary>The attribute <c>layout</c> of a mixture with 4-bit experts.</summary>
    private const long PackedLayout = 2;
}
