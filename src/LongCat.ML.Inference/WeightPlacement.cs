namespace LongCat.ML.Inference;

/// <summary>Where an engine's weights lie. Immutable; fixed when the engine was loaded.</summary>
public sealed record WeightPlacement
{
    /// <summary>The pages in use; <see cref="WeightPages.Mapped"/> where huge ones were asked for and could not be had.</summary>
    public WeightPages Pages { get; init; }

    /// <summary>Bytes of weights copied out of the mapping; 0 with <see cref="WeightPages.Mapped"/>.</summary>
    public long CopiedBytes { get; init; }

    /// <summary>
    /// Bytes of the copy that the system really gave in pages of 2 MiB when it was filled, rounded up to whole pages, or null where it does not say. Fewer than
    /// <see cref="CopiedBytes"/> where its memory was too scattered: the rest lies in pages of 4 KiB.
    /// </summary>
    public long? HugeBytes { get; init; }

    /// <summary>Why weights that were asked for in huge pages stayed in the mapping; null where they did not, or nobody asked.</summary>
    public string? Fallback { get; init; }
}
