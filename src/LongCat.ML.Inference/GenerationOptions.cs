namespace LongCat.ML.Inference;

/// <summary>How a completion is chosen and where it ends. Immutable.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most new tokens, 0 or more. Default 128.</summary>
    public int MaxNewTokens { get; init; } = 128;

    /// <summary>0 takes the most probable token (ties: the lowest id). Above 0, logits are divided by it and a token is drawn. Default 0.</summary>
    public float Temperature { get; init; }

    /// <summary>Draw among the k most probable tokens; 0 for all. Default 0.</summary>
    public int TopK { get; init; }

    /// <summary>Draw among the fewest tokens whose probabilities reach this sum, in (0, 1]; applied after <see cref="TopK"/>. Default 1: all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>
    /// Divides positive logits of tokens that prompt or completion already have by this, and multiplies negative ones with it, before the temperature: above 1 against repetition, below 1 for
    /// it; above 0. Default 1: none.
    /// </summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>What is subtracted from the logits of tokens that the completion already has, before the temperature. Default 0.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>What is subtracted from a token's logit for each time that the completion already has it, before the temperature. Default 0.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>
    /// Makes draws repeatable: the same seed and prompt give the same tokens whatever else the engine computes. Null takes a random seed. No effect at temperature 0.
    /// </summary>
    public ulong? Seed { get; init; }

    /// <summary>Texts that end the completion; the first one reached is left out of the text. Needs a tokenizer.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>
    /// Tokens that end the completion like the model's end-of-sequence tokens, whatever <see cref="IgnoreEos"/> says: the ends of turns that a chat format knows and config.json
    /// does not. Each in 0..V-1. Default none.
    /// </summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>
    /// Whether special tokens (added tokens that the tokenizer marks as such) are written out in the text, and in what stop strings are compared with. The token that ends the
    /// completion never is. Default false: they are left out.
    /// </summary>
    public bool SpecialTokensInText { get; init; }

    /// <summary>Go on after an end-of-sequence token. Default false.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>
    /// Log-probabilities to return for each new token: 0 none, -1 the chosen token's only, k &gt; 0 the chosen token's and those of the k most probable tokens.
    /// They are natural logarithms under the model's own distribution, before temperature, top-k and top-p. Default 0.
    /// </summary>
    public int LogProbabilities { get; init; }

    /// <summary>
    /// Whether the request takes part in the engine's speculation (<see cref="EngineOptions.Speculation"/>). Null: when the engine has one. True is refused by an engine without. Default null.
    /// </summary>
    public bool? Speculate { get; init; }

    /// <summary>
    /// Whether the request's proposed tokens are verified sparsely (<see cref="SpeculativeOptions.Verification"/>), which is lossy. Null: when the engine does so. False: its output is the one without
    /// speculation. True is refused by an engine that verifies exactly, and beside <see cref="Speculate"/> false. Default null.
    /// </summary>
    public bool? VerifySparsely { get; init; }

    /// <summary>
    /// What the completion may look like, such as JSON of a schema; made for the engine's own tokenizer. Null: anything. Temperature, top-k and top-p choose among the tokens that
    /// are allowed; an end-of-sequence token is where the text may end.
    /// </summary>
    public OutputConstraint? Constraint { get; init; }

    /// <summary>What happens to a prompt that is too long. Default: the request fails.</summary>
    public PromptOverflow Overflow { get; init; } = PromptOverflow.Fail;

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(MaxNewTokens, nameof(MaxNewTokens));
        if (!(Temperature >= 0 && float.IsFinite(Temperature)))
        {
            throw new ArgumentOutOfRangeException(nameof(Temperature), Temperature, "GenerationOptions.Temperature must be finite and 0 or more.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(TopK, nameof(TopK));
        if (!(TopP > 0 && TopP <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(TopP), TopP, "GenerationOptions.TopP must be above 0 and at most 1.");
        }

        if (!(RepetitionPenalty > 0 && float.IsFinite(RepetitionPenalty)))
        {
            throw new ArgumentOutOfRangeException(nameof(RepetitionPenalty), RepetitionPenalty, "GenerationOptions.RepetitionPenalty must be finite and above 0.");
        }

        if (!float.IsFinite(PresencePenalty) || !float.IsFinite(FrequencyPenalty))
        {
            throw new ArgumentOutOfRangeException(
                nameof(PresencePenalty), PresencePenalty, $"GenerationOptions.PresencePenalty is {PresencePenalty} and FrequencyPenalty is {FrequencyPenalty}; finite numbers are expected.");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(LogProbabilities, -1, nameof(LogProbabilities));
        if (StopStrings is null || StopStrings.Any(string.IsNullOrEmpty))
        {
            throw new ArgumentException("GenerationOptions.StopStrings must hold no null and no empty text.", nameof(StopStrings));
        }

        ArgumentNullException.ThrowIfNull(StopTokenIds, nameof(StopTokenIds));
        if (!Enum.IsDefined(Overflow))
        {
            throw new ArgumentOutOfRangeException(nameof(Overflow), Overflow, "GenerationOptions.Overflow is no member of PromptOverflow.");
        }
    }
}
