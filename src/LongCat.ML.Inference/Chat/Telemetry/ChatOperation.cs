using System.Diagnostics;
using LongCat.ML.Inference.Chat.Prompts;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat.Telemetry;

/// <summary>One chat request under observation. Disposal ends it; one that nobody ended before was left by its reader.</summary>
internal sealed class ChatOperation : IDisposable
{
    private const string Operation = "chat";

    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly ChatPrompt _prompt;
    private readonly Activity? _activity;
    private readonly bool _streams;
    private TagList _tags;
    private int _tokens;
    private long _firstToken, _lastChunk;
    private bool _finished;

    private ChatOperation(ChatPrompt prompt, bool streams)
    {
        _prompt = prompt;
        _streams = streams;
        _tags = GenAIInstruments.Tags(Operation, prompt.ModelId);
        _activity = GenAIInstruments.Source.StartActivity($"{Operation} {prompt.ModelId}", ActivityKind.Client);
        if (_activity is not { IsAllDataRequested: true })
        {
            return;
        }

        GenerationOptions options = prompt.Request.Options;
        foreach ((string key, object? value) in _tags)
        {
            _activity.SetTag(key, value);
        }

        _activity.SetTag("gen_ai.request.max_tokens", options.MaxNewTokens);
        _activity.SetTag("gen_ai.request.temperature", (double)options.Temperature);
        _activity.SetTag("gen_ai.request.top_p", (double)options.TopP);
        _activity.SetTag("gen_ai.output.type", prompt.Data ? "json" : "text");
        if (options.TopK > 0)
        {
            _activity.SetTag("gen_ai.request.top_k", options.TopK);
        }

        if (options.FrequencyPenalty != 0)
        {
            _activity.SetTag("gen_ai.request.frequency_penalty", (double)options.FrequencyPenalty);
        }

        if (options.PresencePenalty != 0)
        {
            _activity.SetTag("gen_ai.request.presence_penalty", (double)options.PresencePenalty);
        }

        if (options.Seed is { } seed)
        {
            _activity.SetTag("gen_ai.request.seed", unchecked((long)seed));
        }

        if (options.StopStrings.Count > 0)
        {
            _activity.SetTag("gen_ai.request.stop_sequences", options.StopStrings.ToArray());
        }
    }

    /// <param name="prompt">The request.</param>
    /// <param name="streams">Whether the caller takes updates as they come: only then do chunks have times.</param>
    public static ChatOperation Start(ChatPrompt prompt, bool streams) => new(prompt, streams);

    /// <summary>A token was taken from the engine.</summary>
    public void Token()
    {
        if (_tokens++ == 0)
        {
            _firstToken = Stopwatch.GetTimestamp();
            GenAIInstruments.FirstToken.Record(Stopwatch.GetElapsedTime(_start, _firstToken).TotalSeconds, _tags);
        }
    }

    /// <summary>An update goes to the caller.</summary>
    public void Chunk()
    {
        if (!_streams)
        {
            return;
        }

        long now = Stopwatch.GetTimestamp();
        (_lastChunk == 0 ? GenAIInstruments.FirstChunk : GenAIInstruments.PerChunk).Record(Stopwatch.GetElapsedTime(_lastChunk == 0 ? _start : _lastChunk, now).TotalSeconds, _tags);
        _lastChunk = now;
    }

    /// <summary>The reply is whole.</summary>
    public void Finish(ChatResponseUpdate last, UsageDetails usage)
    {
        _finished = true;
        _activity?.SetTag("gen_ai.response.finish_reasons", new[] { last.FinishReason!.Value.Value });
        _activity?.SetTag("gen_ai.response.id", last.ResponseId);
        if (_tokens > 1)
        {
            GenAIInstruments.PerToken.Record(Stopwatch.GetElapsedTime(_firstToken).TotalSeconds / (_tokens - 1), _tags);
        }

        _activity?.SetTag("gen_ai.usage.cache_read.input_tokens", usage.CachedInputTokenCount);
        _activity?.SetTag("gen_ai.usage.reasoning.output_tokens", usage.ReasoningTokenCount);
    }

    public void Fail(Exception error)
    {
        _tags.Add("error.type", error.GetType().FullName);
        _activity?.SetTag("error.type", error.GetType().FullName);
        _activity?.SetStatus(ActivityStatusCode.Error, error.Message);
    }

    /// <summary>Ends it: what was written before the caller left or cancelled was used too.</summary>
    public void Dispose()
    {
        bool used = _finished || _tokens > 0;
        if (used)
        {
            _activity?.SetTag("gen_ai.response.model", _prompt.ModelId);
            _activity?.SetTag("gen_ai.usage.input_tokens", _prompt.PromptTokens);
            _activity?.SetTag("gen_ai.usage.output_tokens", _tokens);
            TagList tokens = GenAIInstruments.Tags(Operation, _prompt.ModelId);
            tokens.Add("gen_ai.response.model", _prompt.ModelId);
            GenAIInstruments.RecordTokens(_prompt.PromptTokens, "input", tokens);
            GenAIInstruments.RecordTokens(_tokens, "output", tokens);
            _tags.Add("gen_ai.response.model", _prompt.ModelId);
        }

        GenAIInstruments.Duration.Record(Stopwatch.GetElapsedTime(_start).TotalSeconds, _tags);
        _activity?.Dispose();
    }
}
