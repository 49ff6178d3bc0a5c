namespace LongCat.ML.Inference.Calibration;

/// <summary>How a <see cref="Calibrator"/> runs. Immutable.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Whether the Gram matrix XᵀX of every site is added up: 8·K² bytes for K channels. Recipes with error compensation need it. Default false.</summary>
    public bool Gram { get; init; }

    /// <summary>
    /// The most bytes of Gram matrices held at once; the largest one must fit. Where all together are larger, the sequences run several times, some sites each time, and finished matrices
    /// wait in a temporary file. 0, the default, takes a quarter of the memory that the process may have, at least 2 GiB. The statistics do not depend on it.
    /// </summary>
    public long MemoryBudgetBytes { get; init; }

    /// <summary>
    /// The most bytes of the Gram matrices of all experts together. Where they are larger (mixtures of hundreds of experts), an expert takes its mixture's Gram matrix and its own channel statistics.
    /// The result depends on this, and not on the memory budget. Default 4 GiB.
    /// </summary>
    public long ExpertGramBytes { get; init; } = 4L << 30;

    /// <summary>Where that file goes (it has no name there, or is deleted when closed); null takes the system's folder for temporary files.</summary>
    public string? TemporaryFolder { get; init; }

    /// <summary>Threads; 0 for all cores that the process may use. The statistics do not depend on it. Default 0.</summary>
    public int Threads { get; init; }

    /// <summary>Whether the sequences are random tokens instead of text; passed on to what reads the statistics. Default false.</summary>
    public bool DataFree { get; init; }

    /// <summary>The budget with its default filled in.</summary>
    internal long Budget => MemoryBudgetBytes > 0 ? MemoryBudgetBytes : Math.Max(2L << 30, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4);

    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(MemoryBudgetBytes, nameof(MemoryBudgetBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(ExpertGramBytes, nameof(ExpertGramBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(Threads, 0, nameof(Threads));
    }
}
