using System.Diagnostics;

namespace LongCat.ML.Inference.Chat.Telemetry;

/// <summary>One call of the embedding generator under observation. Disposal ends it.</summary>
internal sealed class EmbeddingOperation : IDisposable
{
    private const string Operation = "embeddings";

    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Activity? _activity;
    private TagList _tags;

    public EmbeddingOperation(string model)
    {
        _tags = GenAIInstruments.Tags(Operation, model);
        _activity = GenAIInstruments.Source.StartActivity($"{Operation} {model}", ActivityKind.Client);
        foreach ((string key, object? value) in _tags)
        {
            _activity?.SetTag(key, value);
        }
    }

    public void Finish(int tokens, int dimensions)
    {
        _activity?.SetTag("gen_ai.usage.input_tokens", tokens);
        _activity?.SetTag("gen_ai.embeddings.dimension.count", dimensions);
        GenAIInstruments.RecordTokens(tokens, "input", _tags);
    }

    public void Fail(Exception error)
    {
        _tags.Add("error.type", error.GetType().FullName);
        _activity?.SetTag("error.type", error.GetType().FullName);
        _activity?.SetStatus(ActivityStatusCode.Error, error.Message);
    }

    public void Dispose()
    {
        GenAIInstruments.Duration.Record(Stopwatch.GetElapsedTime(_start).TotalSeconds, _tags);
        _activity?.Dispose();
    }
}
