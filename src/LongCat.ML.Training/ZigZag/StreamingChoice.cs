namespace LongCat.ML.Training.ZigZag;

/// <summary>Which attentions become streaming. All but <see cref="Lowest"/> do without a calibration and are there to compare it with.</summary>
public enum StreamingChoice
{
    /// <summary>Those of the lowest α; of equal ones the one that comes first.</summary>
    Lowest,

    /// <summary>Evenly spaced: with a share of ½ every second one, beginning with the second.</summary>
    Alternate,

    /// <summary>Drawn by a seed.</summary>
    Random,

    /// <summary>The first ones.</summary>
    First,

    /// <summary>The last ones.</summary>
    Last,
}
