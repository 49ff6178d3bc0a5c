namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::LatentAttention.</summary>
internal sealed record LatentAttentionInputs(Value Query, Value Latent, Value LatentNorm, Value KvB, Value InverseFrequencies, StepInputs Step, Value Cache)
{
    /// <summary>The keys that each token sees (longcat::AttentionIndexer); none: all.</summary>
    public Value Selected { get; init; } = Value.None;

    /// <summary>What sparse rows see; null where there are none.</summary>
    public SparseAttentionInputs? Sparse { get; init; }
}

/// <summary>Attributes of longcat::LatentAttention.</summary>
internal sealed record LatentAttentionAttributes
{
    public required long Heads { get; init; }

    public required long NopeDim { get; init; }

    public required long RopeDim { get; init; }

    public required long ValueDim { get; init; }

    public required long LatentRank { get; init; }

    public required double Epsilon { get; init; }

    public required double QueryScale { get; init; }

    public required double LatentScale { get; init; }

    public required double SoftmaxScale { get; init; }

    public required double RopeMultiplier { get; init; }
}
