namespace LongCat.ML;

/// <summary>Which rows a calibration used. Immutable.</summary>
public sealed record CalibrationSummary
{
    /// <summary>Rows that were read; 0 with random tokens.</summary>
    public long Rows { get; init; }

    /// <summary>Sequences that the model read.</summary>
    public int Samples { get; init; }

    /// <summary>Their tokens together.</summary>
    public long Tokens { get; init; }

    /// <summary>How many of them are the beginning of a longer row.</summary>
    public int Cut { get; init; }

    /// <summary>Rows passed over because the same text was there before.</summary>
    public long Duplicates { get; init; }

    /// <summary>Rows passed over because they are malformed, hold no text, or cannot be tokenized.</summary>
    public long Unusable { get; init; }

    /// <summary>Why the first unusable row is one; null where none is.</summary>
    public string? FirstUnusable { get; init; }

    /// <summary>Whether the model read random tokens.</summary>
    public bool DataFree { get; init; }
}
