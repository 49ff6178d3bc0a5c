namespace LongCat.ML.Quantization;

/// <summary>How the scale of a group of weights is kept.</summary>
public enum WeightScaling
{
    /// <summary>A float per output channel times an integer 1..127 per group: one byte of scale per group.</summary>
    TwoLevel,

    /// <summary>As <see cref="TwoLevel"/> with integers 1..15, so that level · integer is itself an int8 (-120..105).</summary>
    TwoLevelNarrow,

    /// <summary>Integer Scale (arXiv 2405.14597): an integer 1..65535 per group over one power of two for the whole matrix.</summary>
    IntegerScale,

    /// <summary>One float per output channel, no groups (OdysseyLLM, arXiv 2311.09550).</summary>
    PerChannel,
}
