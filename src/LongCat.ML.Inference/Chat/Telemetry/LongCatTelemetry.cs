namespace LongCat.ML.Inference.Chat.Telemetry;

/// <summary>
/// The names under which chats and embeddings can be observed. Activities and metrics follow OpenTelemetry's semantic conventions for generative AI (<c>gen_ai.*</c>); they hold
/// numbers and names, never the texts of messages. Without a listener they cost nothing.
/// </summary>
public static class LongCatTelemetry
{
    /// <summary>The name of the <see cref="System.Diagnostics.ActivitySource"/> and of the <see cref="System.Diagnostics.Metrics.Meter"/>.</summary>
    public const string SourceName = "LongCat.ML";

    /// <summary>The value of <c>gen_ai.provider.name</c>, and the provider's name in metadata.</summary>
    public const string ProviderName = "longcat.ml";
}
