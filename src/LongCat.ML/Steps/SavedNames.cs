namespace LongCat.ML.Steps;

/// <summary>
/// The fixed column names inside a saved pipeline: loading passes no names to a custom mapping. They are dropped at the pipeline's end.
/// Part of the file format: never change one.
/// </summary>
internal static class SavedNames
{
    /// <summary>How all of them begin; no output column of a step may.</summary>
    public const string Prefix = "LongCat.";

    public const string Text = "LongCat.Text";
    public const string Second = "LongCat.Second";
    public const string Configuration = "LongCat.Configuration";
    public const string Completion = "LongCat.Completion";
    public const string FinishReason = "LongCat.FinishReason";
    public const string PromptTokens = "LongCat.PromptTokens";
    public const string CompletionTokens = "LongCat.CompletionTokens";
    public const string LogProbabilities = "LongCat.LogProbabilities";
    public const string Score = "LongCat.Score";
    public const string Perplexity = "LongCat.Perplexity";
    public const string TokenCount = "LongCat.TokenCount";
    public const string Label = "LongCat.Label";
    public const string LabelScores = "LongCat.LabelScores";
    public const string Tokens = "LongCat.Tokens";
    public const string TokenLogLikelihoods = "LongCat.TokenLogLikelihoods";
    public const string Embedding = "LongCat.Embedding";
    public const string MaxNewTokens = "LongCat.MaxNewTokens";
    public const string Temperature = "LongCat.Temperature";
    public const string TopK = "LongCat.TopK";
    public const string TopP = "LongCat.TopP";
    public const string Seed = "LongCat.Seed";
    public const string StopStrings = "LongCat.StopStrings";
    public const string Roles = "LongCat.Roles";
    public const string Contents = "LongCat.Contents";
    public const string Chat = "LongCat.Chat";
    public const string RowOptions = "LongCat.RowOptions";
    public const string Adapter = "LongCat.Adapter";
    public const string AdaptedText = "LongCat.AdaptedText";
}
