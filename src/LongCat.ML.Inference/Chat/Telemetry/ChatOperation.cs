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
    private TagList _tags;
    private int _tokens;

    private ChatOperation(ChatPrompt prompt)
    {
        _prompt = prompt;
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
        if (options.TopK > 0)
        {
            _activity.SetTag("gen_ai.request.top_k", options.TopK);
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

    public static ChatOperation Start(ChatPrompt prompt) => new(prompt);

    public void Token()
    {
        if (_tokens++ == 0)
        {
            GenAIInstruments.FirstToken.Record(Stopwatch.GetElapsedTime(_start).TotalSeconds, _tags);
        }
    }

    public void Finish(ChatFinishReason reason, int outputTokens)
    {
        _activity?.SetTag("gen_ai.response.finish_reasons", new[] { reason.Value });
        _activity?.SetTag("gen_ai.response.model", _prompt.ModelId);
        _activity?.SetTag("gen_ai.usage.input_tokens", _prompt.PromptTokens);
        _activity?.SetTag("gen_ai.usage.output_tokens", outputTokens);
        GenAIInstruments.RecordTokens(_prompt.PromptTokens, "input", _tags);
        GenAIInstruments.RecordTokens(outputTokens, "output", _tags);
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
