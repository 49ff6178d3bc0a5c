namespace LongCat.ML.Checkpoints;

/// <summary>
/// The low-rank change of one module (LoRA, arXiv 2106.09685): scale · B · A, added to the module's weight. With a <see cref="Magnitude"/> the sum is scaled row by row
/// (DoRA, arXiv 2402.09353).
/// </summary>
/// <remarks>Immutable as long as nobody writes into the arrays, which are not copied. Thread safety: may be read concurrently.</remarks>
public sealed record AdapterMatrix
{
    /// <summary>The module's path in the base model, for instance <c>model.layers.0.self_attn.0.q_a_proj</c>.</summary>
    public required string Module { get; init; }

    /// <summary>What the module is.</summary>
    public AdapterKind Kind { get; init; }

    /// <summary>r: rows of A and columns of B; at least 1.</summary>
    public required int Rank { get; init; }

    /// <summary>What B · A is multiplied by: alpha / r, or alpha / √r (rsLoRA).</summary>
    public required double Scale { get; init; }

    /// <summary>A, row-major [<see cref="Rank"/>, <see cref="In"/>].</summary>
    public required float[] A { get; init; }

    /// <summary>B, row-major [<see cref="Out"/>, <see cref="Rank"/>].</summary>
    public required float[] B { get; init; }

    /// <summary>
    /// DoRA's magnitudes, one for each of <see cref="Out"/>: of a projection for each row of its weight, of an embedding for each column of its table. Null without DoRA.
    /// </summary>
    public float[]? Magnitude { get; init; }

    /// <summary>The bias of B, [<see cref="Out"/>], multiplied by <see cref="Scale"/> like the product; null without.</summary>
    public float[]? Bias { get; init; }

    /// <summary>Inputs of the module: columns of a projection's weight; of an embedding the rows of its table.</summary>
    public required int In { get; init; }

    /// <summary>Outputs of the module: rows of a projection's weight; of an embedding the width of its table.</summary>
    public required int Out { get; init; }

    /// <summary>The type that the values have on disk: float32 (the default), bfloat16 or float16.</summary>
    public TensorType Type { get; init; } = TensorType.Float32;

    /// <summary>The number of values: A, B, magnitudes and bias.</summary>
    public long ParameterCount => (long)A.Length + B.Length + (Magnitude?.Length ?? 0) + (Bias?.Length ?? 0);

    /// <summary>
    /// The same change relative to the untouched base weight, for adapters whose initialization was subtracted from it (PiSSA, arXiv 2404.02948): A' = [A; A0], B' = [B, -B0],
    /// rank and <see cref="Scale"/> as r + r0 and unchanged, so scale · B'A' = scale · (BA - B0A0).
    /// </summary>
    /// <param name="initialA">A at the start of training, row-major [r0, <see cref="In"/>].</param>
    /// <param name="initialB">B at the start of training, row-major [<see cref="Out"/>, r0].</param>
    /// <returns>A matrix of rank r + r0.</returns>
    /// <exception cref="ArgumentException">The lengths are not those of a low-rank product of this module, or the matrix has magnitudes.</exception>
    public AdapterMatrix SubtractInitial(ReadOnlySpan<float> initialA, ReadOnlySpan<float> initialB)
    {
        if (Magnitude is not null)
        {
            throw new ArgumentException($"{Module} has magnitudes (DoRA), which no initialization that changes the base goes with", nameof(initialA));
        }

        int rank = initialA.Length / Math.Max(1, In);
        if (rank < 1 || initialA.Length != (long)rank * In || initialB.Length != (long)rank * Out)
        {
            throw new ArgumentException(
                $"{Module}: initial values of {initialA.Length} and {initialB.Length} elements, expected [r, {In}] and [{Out}, r] of one rank r", nameof(initialA));
        }

        int both = checked(Rank + rank);
        float[] b = new float[checked(Out * both)];
        for (int o = 0; o < Out; o++)
        {
            B.AsSpan(o * Rank, Rank).CopyTo(b.AsSpan(o * both));
            for (int k = 0; k < rank; k++)
            {
                b[(o * both) + Rank + k] = -initialB[(o * rank) + k];
            }
        }

        return this with { Rank = both, A = [.. A, .. initialA], B = b };
    }

    /// <summary>What is wrong with the sizes or values; null when nothing is.</summary>
    internal string? Problem()
    {
        if (Rank < 1 || In < 1 || Out < 1)
        {
            return $"rank {Rank}, {In} inputs and {Out} outputs, expected at least 1 of each";
        }

        if (A.Length != (long)Rank * In || B.Length != (long)Out * Rank)
        {
            return $"A has {A.Length} values and B {B.Length}, expected [{Rank}, {In}] and [{Out}, {Rank}]";
        }

        if (Magnitude is not null && Magnitude.Length != Out)
        {
            return $"{Magnitude.Length} magnitudes, expected one for each of {Out} outputs";
        }

        if (Bias is not null && Bias.Length != Out)
        {
            return $"a bias of {Bias.Length} values, expected {Out}";
        }

        if (Bias is not null && (Magnitude is not null || Kind == AdapterKind.Embedding))
        {
            return "a bias of B, which neither DoRA nor embeddings have";
        }

        if (!double.IsFinite(Scale))
        {
            return $"scale {Scale}, expected a finite number";
        }

        if (Type is not (TensorType.Float32 or TensorType.BFloat16 or TensorType.Float16))
        {
            return $"values of type {Type.SafetensorsName()}, expected F32, BF16 or F16";
        }

        (string Part, float[]? Values)[] parts = [("A", A), ("B", B), ("the magnitudes", Magnitude), ("the bias", Bias)];
        foreach ((string part, float[]? values) in parts)
        {
            if (values is not null && TensorConversion.CountNonFinite(values) is var (nan, infinity) && nan + infinity > 0)
            {
                return $"{part} holds {nan} NaN and {infinity} infinite of {values.Length} values, expected finite ones: the training diverged or the file is damaged";
            }
        }

        return null;
    }
}
