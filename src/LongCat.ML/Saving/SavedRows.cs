using LongCat.ML.Steps;
using Microsoft.ML.Data;

namespace LongCat.ML.Saving;

/// <summary>What the custom mapping of a saved pipeline reads.</summary>
internal sealed class SavedInput
{
    [ColumnName(SavedNames.Text)]
    public ReadOnlyMemory<char> Text { get; set; }

    [ColumnName(SavedNames.Second)]
    public ReadOnlyMemory<char> Second { get; set; }

    [ColumnName(SavedNames.Configuration)]
    public ReadOnlyMemory<char> Configuration { get; set; }
}

/// <summary>What the custom mapping of a saved step writes.</summary>
internal interface ISavedOutput
{
    /// <summary>Takes a row's result over. ML.NET reuses the object, so everything is written every time.</summary>
    void Fill(RowStep step, RowResult result);
}

/// <summary>The outputs of a saved Generate step.</summary>
internal sealed class SavedGenerate : ISavedOutput
{
    [ColumnName(SavedNames.Completion)]
    public string Completion { get; set; } = "";

    [ColumnName(SavedNames.FinishReason)]
    public string FinishReason { get; set; } = "";

    [ColumnName(SavedNames.PromptTokens)]
    public int PromptTokens { get; set; }

    [ColumnName(SavedNames.CompletionTokens)]
    public int CompletionTokens { get; set; }

    [ColumnName(SavedNames.LogProbabilities)]
    public VBuffer<float> LogProbabilities { get; set; }

    public void Fill(RowStep step, RowResult result)
    {
        var generated = (GenerateResult)result;
        Completion = generated.Text;
        FinishReason = generated.FinishReason;
        PromptTokens = generated.PromptTokens;
        CompletionTokens = generated.CompletionTokens;
        LogProbabilities = new VBuffer<float>(generated.LogProbabilities.Length, generated.LogProbabilities);
    }
}

/// <summary>The outputs of a saved Score step.</summary>
internal sealed class SavedScore : ISavedOutput
{
    [ColumnName(SavedNames.Score)]
    public float Score { get; set; }

    [ColumnName(SavedNames.Perplexity)]
    public float Perplexity { get; set; }

    [ColumnName(SavedNames.TokenCount)]
    public int TokenCount { get; set; }

    public void Fill(RowStep step, RowResult result)
    {
        var scored = (ScoreResult)result;
        Score = scored.Score;
        Perplexity = scored.Perplexity;
        TokenCount = scored.Tokens;
    }
}

/// <summary>The outputs of a saved Score step that gives the likelihood of each token.</summary>
internal sealed class SavedScoreTokens : ISavedOutput
{
    [ColumnName(SavedNames.Score)]
    public float Score { get; set; }

    [ColumnName(SavedNames.Perplexity)]
    public float Perplexity { get; set; }

    [ColumnName(SavedNames.TokenCount)]
    public int TokenCount { get; set; }

    [ColumnName(SavedNames.TokenLogLikelihoods)]
    public VBuffer<float> TokenLogLikelihoods { get; set; }

    public void Fill(RowStep step, RowResult result)
    {
        var scored = (ScoreResult)result;
        Score = scored.Score;
        Perplexity = scored.Perplexity;
        TokenCount = scored.Tokens;
        TokenLogLikelihoods = new VBuffer<float>(scored.TokenLogLikelihoods.Length, scored.TokenLogLikelihoods);
    }
}

/// <summary>The outputs of a saved Classify step; the label becomes a key behind the mapping.</summary>
internal sealed class SavedClassify : ISavedOutput
{
    [ColumnName(SavedNames.Label)]
    public string Label { get; set; } = "";

    [ColumnName(SavedNames.LabelScores)]
    public VBuffer<float> LabelScores { get; set; }

    public void Fill(RowStep step, RowResult result)
    {
        var classified = (ClassifyResult)result;
        Label = classified.Label < 0 ? "" : ((ClassifyOptions)step.Options).Labels[classified.Label];
        LabelScores = new VBuffer<float>(classified.Scores.Length, classified.Scores);
    }
}

/// <summary>The outputs of a saved Tokenize step.</summary>
internal sealed class SavedTokenize : ISavedOutput
{
    [ColumnName(SavedNames.Tokens)]
    public VBuffer<int> Tokens { get; set; }

    public void Fill(RowStep step, RowResult result)
    {
        int[] ids = ((TokenizeResult)result).Ids;
        Tokens = new VBuffer<int>(ids.Length, ids);
    }
}
