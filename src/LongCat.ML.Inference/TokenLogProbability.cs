namespace LongCat.ML.Inference;

/// <summary>The log-probability of a generated token, and of the most probable tokens in its place. Immutable.</summary>
public sealed record TokenLogProbability
{
    /// <summary>The token that was chosen.</summary>
    public required int Id { get; init; }

    /// <summary>Its natural logarithm of probability under the model's own distribution, 0 or less.</summary>
    public required double LogProbability { get; init; }

    /// <summary>The most probable tokens, most probable first (ties: the lowest id first); empty when none were asked for. The chosen token may be among them.</summary>
    public IReadOnlyList<TokenAlternative> Alternatives { get; init; } = [];
}
