namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::PagedAttention; the norms are <see cref="Value.None"/> where heads are not normed.</summary>
internal sealed record PagedAttentionInputs(
    Value Query, Value Key, Value Value, Value QueryNorm, Value KeyNorm, Value InverseFrequencies, StepInputs Step, Value Cache)
{
    /// <summary>What sparse rows see; null where there are none.</summary>
    public SparseAttentionInputs? Sparse { get; init; }
}

/// <summary>Attributes of longcat::PagedAttention; the halves of a head are rotated against each other, over its whole width.</summary>
internal sealed record PagedAttentionAttributes
{
    public required long Heads { get; init; }

    public required long KeyValueHeads { get; init; }

    public required long HeadDim { get; init; }

    /// <summary>Tokens a query sees, itself included; 0 for all.</summary>
    public required long Window { get; init; }

    public required double Epsilon { get; init; }

    public required double SoftmaxScale { get; init; }

    public required double RopeMultiplier { get; init; }
}
