namespace LongCat.ML;

/// <summary>Settings of <see cref="ScoreEstimator"/>.</summary>
public sealed class ScoreOptions : StepOptions
{
    /// <summary>The text column whose likelihood after <see cref="StepOptions.InputColumnName"/> is wanted, or null: then the whole text is scored.</summary>
    public string? ContinuationColumnName { get; set; }

    /// <summary>The column of log-likelihoods (Single, natural logarithm, summed over the scored tokens; NaN where there is nothing to score).</summary>
    public string OutputColumnName { get; set; } = "Score";

    /// <summary>The column of perplexities (Single, exp(-log-likelihood / tokens)), or null for none.</summary>
    public string? PerplexityColumnName { get; set; }

    /// <summary>The column of the counts of scored tokens (Int32), or null for none.</summary>
    public string? TokenCountColumnName { get; set; }

    /// <summary>The column of the natural logarithms of the scored tokens' probabilities (a vector of Single, one per token in order), or null for none.</summary>
    public string? TokenLogLikelihoodsColumnName { get; set; }

    internal override void Validate()
    {
        base.Validate();
        Throw.IfBlank(OutputColumnName, nameof(OutputColumnName));
    }
}
