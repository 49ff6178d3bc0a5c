namespace LongCat.ML.Checkpoints;

/// <summary>What an expert without weights returns.</summary>
public enum ZeroExpertType
{
    /// <summary>Its input, times the routing weight.</summary>
    Identity,

    /// <summary>Nothing.</summary>
    Drop,
}
