namespace LongCat.ML.Training.FineTuning;

/// <summary>What happens to a row that cannot be read or encoded: no JSON, a missing column, a value of the wrong type, a chat that the template refuses.</summary>
public enum BadRows
{
    /// <summary>It is an error that names the row.</summary>
    Fail,

    /// <summary>It is left out and counted.</summary>
    Skip,
}
