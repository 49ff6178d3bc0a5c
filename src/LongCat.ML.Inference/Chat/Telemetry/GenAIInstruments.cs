using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace LongCat.ML.Inference.Chat.Telemetry;

/// <summary>The process's one source of activities and its instruments; the boundaries of the histograms are those that the conventions name.</summary>
internal static class GenAIInstruments
{
    public static readonly ActivitySource Source = new(LongCatTelemetry.SourceName);

    private static readonly Meter s_meter = new(LongCatTelemetry.SourceName);

    private static readonly InstrumentAdvice<double> s_seconds = new()
    {
        HistogramBucketBoundaries = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
    };

    public static readonly Histogram<double> Duration = s_meter.CreateHistogram("gen_ai.client.operation.duration", "s", "How long an operation took.", tags: null, s_seconds);

    public static readonly Histogram<double> FirstToken = s_meter.CreateHistogram(
        "gen_ai.server.time_to_first_token", "s", "From the request to the first token of a reply, waiting included.", tags: null, s_seconds);

    public static readonly Histogram<double> PerToken = s_meter.CreateHistogram(
        "gen_ai.server.time_per_output_token", "s", "Time per token of a reply behind the first.", tags: null, s_seconds);

    public static readonly Histogram<double> FirstChunk = s_meter.CreateHistogram(
        "gen_ai.client.operation.time_to_first_chunk", "s", "From the request to the first update of a stream.", tags: null, s_seconds);

    public static readonly Histogram<double> PerChunk = s_meter.CreateHistogram(
        "gen_ai.client.operation.time_per_output_chunk", "s", "Time between two updates of a stream, the caller's own included.", tags: null, s_seconds);

    public static readonly Histogram<int> Tokens = s_meter.CreateHistogram(
        "gen_ai.client.token.usage",
        "{token}",
        "Tokens of prompts and replies.",
        tags: null,
        new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864] });

    /// <summary>What all measurements of an operation carry.</summary>
    public static TagList Tags(string operation, string model) => new()
    {
        { "gen_ai.operation.name", operation },
        { "gen_ai.provider.name", LongCatTelemetry.ProviderName },
        { "gen_ai.request.model", model },
    };

    public static void RecordTokens(int count, string type, TagList tags)
    {
        tags.Add("gen_ai.token.type", type);
        Tokens.Record(count, tags);
    }
}
