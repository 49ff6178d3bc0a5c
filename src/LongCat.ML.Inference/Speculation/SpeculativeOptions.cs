namespace LongCat.ML.Inference;

/// <summary>
/// Speculative decoding of an engine: cheap proposals for the next tokens of a request, all verified in one step of the model. Immutable. Names, defaults and ranges are those of
/// ONNX Runtime GenAI's <c>speculative</c> options.
/// </summary>
/// <remarks>
/// Unless <see cref="Verification"/> is set the tokens that come out are the same, bit for bit, as without speculation: every token is chosen from the model's own logits with the draw of its position, and a proposal
/// decides only whether the next position was computed already (Leviathan et al., arXiv 2211.17192, for proposals that are a function of the draw). What changes is how many tokens
/// a step gives. It pays where a step of several tokens takes about as long as a step of one (few requests at a time) and proposals are often right.
/// </remarks>
public sealed record SpeculativeOptions
{
    /// <summary>The most tokens that any proposal has.</summary>
    internal const int LargestWidth = 16;

    /// <summary>Where proposals come from. Default: <see cref="SpeculativeProposer.PromptLookup"/>.</summary>
    public SpeculativeProposer Proposer { get; init; }

    /// <summary>How many tokens a round proposes, 1 to 16. Default 4. With <see cref="MinAdaptiveK"/> each request finds its own number instead.</summary>
    public int MaxDraftTokens { get; init; } = 4;

    /// <summary>
    /// N of <see cref="SpeculativeProposer.PromptLookup"/>, 2 to 16: the last N-1 tokens are looked up in the request's own text, and what followed their latest earlier occurrence is
    /// proposed. 0 turns lookup off. Default 3.
    /// </summary>
    public int NGramSize { get; init; } = 3;

    /// <summary>Whether lookup takes one token at a time and looks again with that token added, instead of copying what followed the first match. Default false.</summary>
    public bool NGramChainedLookup { get; init; }

    /// <summary>
    /// 1 to 16: each request starts with so many proposed tokens, never proposes fewer, and tries one more or one fewer by what it accepts and how fast it advances, up to 16.
    /// 0: always <see cref="MaxDraftTokens"/>. Default 0.
    /// </summary>
    public int MinAdaptiveK { get; init; }

    /// <summary>Whether a request whose proposals were rejected wholly three times in a row, at its smallest width, computes one plain step before it proposes again. Default false.</summary>
    public bool Cooldown { get; init; }

    /// <summary>The exported folder of the model that proposes, for <see cref="SpeculativeProposer.DraftModel"/> only: it must have the same tokenizer. Its caches are part of <see cref="EngineOptions.MemoryBudgetBytes"/>.</summary>
    public string? DraftFolder { get; init; }

    /// <summary>
    /// What the verification of proposed tokens may leave out; null: nothing, the tokens are those without speculation. Anything else changes them. Needs a model that was exported for it
    /// (<c>longcat export --sparse-verification</c>). Default null.
    /// </summary>
    public SparseVerification? Verification { get; init; }

    /// <summary>The most tokens that a proposal of these options can have.</summary>
    internal int WidestProposal => MinAdaptiveK > 0 ? LargestWidth : MaxDraftTokens;

    /// <exception cref="ArgumentException">A value is outside its range, or contradicts another one.</exception>
    internal void Check()
    {
        if (!Enum.IsDefined(Proposer))
        {
            throw new ArgumentOutOfRangeException(
                nameof(Proposer), Proposer, $"SpeculativeOptions.Proposer is {Proposer}; expected {string.Join(", ", Enum.GetNames<SpeculativeProposer>())}.");
        }

        if (MaxDraftTokens is < 1 or > LargestWidth)
        {
            throw new ArgumentOutOfRangeException(nameof(MaxDraftTokens), MaxDraftTokens, $"SpeculativeOptions.MaxDraftTokens is {MaxDraftTokens}; expected 1 to {LargestWidth}.");
        }

        if (NGramSize is not 0 and (< 2 or > 16))
        {
            throw new ArgumentOutOfRangeException(nameof(NGramSize), NGramSize, $"SpeculativeOptions.NGramSize is {NGramSize}; expected 0 (no lookup) or 2 to 16.");
        }

        if (MinAdaptiveK is < 0 or > LargestWidth)
        {
            throw new ArgumentOutOfRangeException(nameof(MinAdaptiveK), MinAdaptiveK, $"SpeculativeOptions.MinAdaptiveK is {MinAdaptiveK}; expected 0 (fixed) or 1 to {LargestWidth}.");
        }

        if (Proposer == SpeculativeProposer.DraftModel ? string.IsNullOrWhiteSpace(DraftFolder) : DraftFolder is not null)
        {
            throw new ArgumentException(
                Proposer == SpeculativeProposer.DraftModel
                    ? "SpeculativeOptions.Proposer is DraftModel and DraftFolder names no folder; expected an exported model with the same tokenizer."
                    : $"SpeculativeOptions.DraftFolder is '{DraftFolder}' and Proposer is {Proposer}; a folder goes with DraftModel only.",
                nameof(DraftFolder));
        }

        Verification?.Check();
    }
}
