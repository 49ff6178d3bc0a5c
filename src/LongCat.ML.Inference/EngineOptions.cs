namespace LongCat.ML.Inference;

/// <summary>How an <see cref="InferenceEngine"/> uses the machine. Immutable; fixed when the engine is loaded.</summary>
public sealed record EngineOptions
{
    /// <summary>
    /// Bytes for the key-value caches of all layers together; at least one page must fit. The pool never exceeds what <see cref="MaxSequences"/> sequences of
    /// the model's longest length need. Default 1 GiB. The memory is reserved at once and touched as pages are first used.
    /// Where some attentions stream, their caches hold a window of each of <see cref="MaxSequences"/> requests, for which a quarter of the budget is enough at most
    /// unless sequences are short; all else is for the others. So the longest prompt fits with few sequences.
    /// </summary>
    public long MemoryBudgetBytes { get; init; } = 1L << 30;

    /// <summary>How many requests run in one step, 1 to 65,536. Further requests wait in order of arrival. Default 32.</summary>
    public int MaxSequences { get; init; } = 32;

    /// <summary>
    /// The most tokens of one step over all its requests, 1 to 1,048,576. Longer prompts are computed in several steps, with the other requests' tokens between them. Default 512.
    /// </summary>
    public int MaxStepTokens { get; init; } = 512;

    /// <summary>Tokens of one cache page, at least 1. Prompts share whole pages only. Default 16.</summary>
    public int PageSize { get; init; } = 16;

    /// <summary>Threads of a step; 0 for all cores that the process may use. Default 0.</summary>
    public int Threads { get; init; }

    /// <summary>Where the model runs: <c>cpu</c>.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Whether loading recomputes the SHA-256 of every file (it reads the whole model). Default false: lengths are compared only.</summary>
    public bool VerifyWeights { get; init; }

    /// <summary>
    /// In which memory the weights lie; <see cref="WeightPages.Mapped"/> by default. Where <see cref="WeightPages.Huge"/> cannot be had (other systems, pages switched off, too little
    /// memory, folders of standard operators) the engine runs on the mapping; <see cref="InferenceEngine.Weights"/> says why.
    /// </summary>
    public WeightPages WeightPages { get; init; }

    /// <summary>
    /// Adapters that requests can ask for: a name for each folder in the format of PEFT. All are loaded with the engine and stay in memory beside the model; one step may
    /// mix requests of several adapters and of none. Default: none. Where one is given, the graph is changed while it is loaded; the folder stays as it is.
    /// </summary>
    public IReadOnlyDictionary<string, string> Adapters { get; init; } = new Dictionary<string, string>();

    /// <summary>Speculative decoding; null for none. It changes no token, only how many a step gives, unless <see cref="SpeculativeOptions.Verification"/> is set. Default null.</summary>
    public SpeculativeOptions? Speculation { get; init; }

    /// <exception cref="ArgumentException">A value is outside its range, or an adapter has no name or no folder.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MemoryBudgetBytes, 1, nameof(MemoryBudgetBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxSequences, 1, nameof(MaxSequences));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxSequences, 1 << 16, nameof(MaxSequences));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxStepTokens, 1, nameof(MaxStepTokens));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxStepTokens, 1 << 20, nameof(MaxStepTokens));
        ArgumentOutOfRangeException.ThrowIfLessThan(PageSize, 1, nameof(PageSize));
        ArgumentOutOfRangeException.ThrowIfLessThan(Threads, 0, nameof(Threads));
        if (!Enum.IsDefined(WeightPages))
        {
            throw new ArgumentOutOfRangeException(nameof(WeightPages), WeightPages, $"{nameof(WeightPages)} is {WeightPages}, expected {WeightPages.Mapped} or {WeightPages.Huge}");
        }

        Speculation?.Check();
        ArgumentNullException.ThrowIfNull(Adapters);
        foreach ((string name, string adapter) in Adapters)
        {
            if (string.IsNullOrWhiteSpace(name) || name.Any(char.IsControl))
            {
                throw new ArgumentException($"{nameof(Adapters)} has the name '{name}' for the folder '{adapter}'; a text without line breaks that is not blank is expected.", nameof(Adapters));
            }

            if (string.IsNullOrWhiteSpace(adapter))
            {
                throw new ArgumentException($"{nameof(Adapters)} names no folder for '{name}'; the folder of an adapter is expected.", nameof(Adapters));
            }
        }

        if (Device != "cpu")
        {
            throw new InferenceException($"EngineOptions.Device is '{Device}'; this version runs on 'cpu' only.");
        }
    }
}
