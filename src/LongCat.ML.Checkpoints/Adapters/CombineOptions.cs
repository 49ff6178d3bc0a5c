namespace LongCat.ML.Checkpoints;

/// <summary>How <see cref="PeftAdapter.Combine"/> combines adapters. Immutable.</summary>
public sealed record CombineOptions
{
    /// <summary>The method; <see cref="AdapterCombination.Cat"/>, which is exact, by default.</summary>
    public AdapterCombination Method { get; init; }

    /// <summary>The share of values that pruning methods keep of each adapter, above 0 up to 1. Set with those methods only.</summary>
    public double? Density { get; init; }

    /// <summary>The rank of <see cref="AdapterCombination.Svd"/>; null takes the largest rank among the adapters. Set with that method only.</summary>
    public int? Rank { get; init; }

    /// <summary>How signs are elected; <see cref="MajoritySign.Total"/> by default.</summary>
    public MajoritySign MajoritySign { get; init; }

    /// <summary>Draws what DARE drops; the same seed gives the same adapter. 0 by default.</summary>
    public ulong Seed { get; init; }

    private bool Prunes => Method is AdapterCombination.Ties or AdapterCombination.DareLinear or AdapterCombination.DareTies or AdapterCombination.MagnitudePrune;

    /// <summary>Refuses values out of range and options that do not go with the method.</summary>
    /// <exception cref="ArgumentException">Names the option, its value and what goes with it.</exception>
    internal void Check()
    {
        if (!Enum.IsDefined(Method) || !Enum.IsDefined(MajoritySign))
        {
            throw new ArgumentException($"{nameof(Method)} is {Method} and {nameof(MajoritySign)} {MajoritySign}, expected known ones");
        }

        if (Prunes != Density is not null)
        {
            throw new ArgumentException(Prunes
                ? $"{nameof(Density)} is not set, expected the share of values that {Method} keeps, above 0 up to 1"
                : $"{nameof(Density)} goes with methods that prune, not with {Method}");
        }

        if (Density is double density && !(density > 0 && density <= 1))
        {
            throw new ArgumentException(FormattableString.Invariant($"{nameof(Density)} is {density:R}, expected above 0 up to 1"));
        }

        if (Rank is int rank && (Method != AdapterCombination.Svd || rank < 1))
        {
            throw new ArgumentException($"{nameof(Rank)} is {rank}, expected 1 or more, and {nameof(AdapterCombination.Svd)} as method");
        }
    }
}
