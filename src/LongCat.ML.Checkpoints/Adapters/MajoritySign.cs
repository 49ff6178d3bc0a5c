namespace LongCat.ML.Checkpoints;

/// <summary>How <see cref="AdapterCombination.Ties"/> elects the sign of a value.</summary>
public enum MajoritySign
{
    /// <summary>The sign of the sum.</summary>
    Total,

    /// <summary>The sign that more adapters have.</summary>
    Frequency,
}
