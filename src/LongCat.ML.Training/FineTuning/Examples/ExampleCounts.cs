namespace LongCat.ML.Training.FineTuning;

/// <summary>What became of the examples.</summary>
public sealed record ExampleCounts
{
    /// <summary>Training examples in use.</summary>
    public int Train { get; init; }

    /// <summary>Validation examples in use.</summary>
    public int Validation { get; init; }

    /// <summary>Rows without a trainable token (an empty completion, a chat without assistant), left out.</summary>
    public int WithoutTarget { get; init; }

    /// <summary>Examples longer than a packed row that were cut.</summary>
    public int Truncated { get; init; }

    /// <summary>Examples longer than a packed row that were left out.</summary>
    public int Overlong { get; init; }

    /// <summary>Rows that could not be read, left out (<see cref="BadRows.Skip"/>).</summary>
    public int Unreadable { get; init; }

    /// <summary>Tokens of the training examples in use.</summary>
    public long Tokens { get; init; }

    /// <summary>Their targets.</summary>
    public long TrainableTokens { get; init; }
}
