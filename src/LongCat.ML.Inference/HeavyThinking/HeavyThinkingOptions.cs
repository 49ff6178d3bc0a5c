namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>How a <see cref="HeavyThinkingChatClient"/> thinks. Immutable.</summary>
/// <remarks>The paper (LongCat-Flash-Thinking-2601, arXiv 2601.16725, heavy thinking) does not tell width, rounds or wording: these defaults are ours, temperature and top-p are its evaluation's.</remarks>
public sealed record HeavyThinkingOptions
{
    /// <summary>How many trajectories think side by side, 1 to 256. Default 4.</summary>
    public int Width { get; init; } = 4;

    /// <summary>
    /// How often candidates are made, 1 to 16. In the first round each is a trajectory of the thinker; in every later one a summary of the round before, as many as the width. The
    /// answer is a summary of the last round's. Default 1.
    /// </summary>
    public int Rounds { get; init; } = 1;

    /// <summary>The temperature of trajectories and of summaries that become candidates; null leaves the caller's. Default 1.</summary>
    public float? Temperature { get; init; } = 1;

    /// <summary>The top-p of trajectories and of summaries that become candidates; null leaves the caller's. Default 1.</summary>
    public float? TopP { get; init; } = 1;

    /// <summary>
    /// The first trajectory's seed, the next ones counting on from it; also that of the permutations. Null: the caller's <c>ChatOptions.Seed</c>, without which they are random.
    /// </summary>
    public long? Seed { get; init; }

    /// <summary>How many trajectories run at once; 0 for all of a round. Default 0: an engine batches them, and their common beginning is computed once.</summary>
    public int MaxParallelism { get; init; }

    /// <summary>Whether a summary sees the candidates in a random order, so that none is first by right. Default true.</summary>
    public bool PermuteCandidates { get; init; } = true;

    /// <summary>Whether later rounds see the first round's answers beside the summaries. Default false.</summary>
    public bool KeepFirstAnswers { get; init; }

    /// <summary>
    /// Above 0 and at most 1: once that share of the width's trajectories agrees (<see cref="AgreementKey"/>), their answer is the reply, and neither the others nor a summary are waited for. Null,
    /// the default: never.
    /// </summary>
    public double? EarlyAgreement { get; init; }

    /// <summary>
    /// What of an answer is compared: answers with equal keys agree, one whose key is null agrees with none. Default: the last <c>\boxed{…}</c>, else the whole answer; white space
    /// and letter case do not count.
    /// </summary>
    public Func<string, string?> AgreementKey { get; init; } = AnswerKey.Of;

    /// <summary>
    /// The most tokens that all trajectories and summaries of one reply write together, at least one for each of them; null for no limit. Calls that still come share what is left
    /// equally, so what one leaves over serves later ones. Kept as far as the clients keep <c>MaxOutputTokens</c>.
    /// </summary>
    public long? TokenBudget { get; init; }

    /// <summary>Makes a summary's prompt of the request and the candidates' answers, in the order in which they are to be read. Default: <see cref="HeavyThinkingPrompt.Create"/>.</summary>
    public Func<string, IReadOnlyList<string>, string> Prompt { get; init; } = HeavyThinkingPrompt.Create;

    /// <summary>How many calls a reply takes at most: trajectories, summaries of rounds, the last summary.</summary>
    internal int Calls => (Width * Rounds) + 1;

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        Range(Width, 1, 256, nameof(Width));
        Range(Rounds, 1, 16, nameof(Rounds));
        ArgumentOutOfRangeException.ThrowIfNegative(MaxParallelism, nameof(MaxParallelism));
        ArgumentNullException.ThrowIfNull(AgreementKey, nameof(AgreementKey));
        ArgumentNullException.ThrowIfNull(Prompt, nameof(Prompt));
        if (EarlyAgreement is { } share && !(share > 0 && share <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(EarlyAgreement), share, "HeavyThinkingOptions.EarlyAgreement must be above 0 and at most 1, or null.");
        }

        if (TokenBudget is { } budget && budget < Calls)
        {
            throw new ArgumentOutOfRangeException(
                nameof(TokenBudget), budget, $"HeavyThinkingOptions.TokenBudget must be at least {Calls}: one token for each of the calls of width {Width} and {Rounds} rounds.");
        }
    }

    private static void Range(int value, int least, int most, string name)
    {
        if (value < least || value > most)
        {
            throw new ArgumentOutOfRangeException(name, value, $"HeavyThinkingOptions.{name} must be from {least} to {most}.");
        }
    }
}
