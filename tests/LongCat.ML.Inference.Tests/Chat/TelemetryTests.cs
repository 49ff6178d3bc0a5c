using System.Diagnostics;
using System.Diagnostics.Metrics;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.Chat.Telemetry;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>Activities and metrics under OpenTelemetry's names.</summary>
public sealed class TelemetryTests
{
    [Fact]
    public async Task A_chat_is_an_activity_with_usage_and_a_failure_is_one_with_its_type()
    {
        using Observed observed = new();
        ScriptedModel model = new(128, 8) { Reply = _ => "abc" };
        using LongCatChatClient client = new(model.Engine(maxPositions: 128), ChatTemplates.LongCat, new LongCatChatClientOptions { ModelId = observed.Model }, ownsEngine: true);

        ChatResponse response = await client.GetResponseAsync("Q", new ChatOptions { Seed = 4, MaxOutputTokens = 9, FrequencyPenalty = 0.5f, PresencePenalty = 0.25f });
        await Assert.ThrowsAsync<InferenceException>(() => client.GetResponseAsync(new string('x', 200)));

        Activity[] own = observed.Activities();
        Assert.Equal(2, own.Length);
        Assert.Equal("chat", own[0].GetTagItem("gen_ai.operation.name"));
        Assert.Equal("text", own[0].GetTagItem("gen_ai.output.type"));
        Assert.Equal(4L, own[0].GetTagItem("gen_ai.request.seed"));
        Assert.Equal(9, own[0].GetTagItem("gen_ai.request.max_tokens"));
        Assert.Equal((0.5, 0.25), (own[0].GetTagItem("gen_ai.request.frequency_penalty"), own[0].GetTagItem("gen_ai.request.presence_penalty")));
        Assert.Equal((int)response.Usage!.InputTokenCount!, own[0].GetTagItem("gen_ai.usage.input_tokens"));
        Assert.Equal(4, own[0].GetTagItem("gen_ai.usage.output_tokens"));
        Assert.Equal((0L, 0L), (own[0].GetTagItem("gen_ai.usage.cache_read.input_tokens"), own[0].GetTagItem("gen_ai.usage.reasoning.output_tokens")));
        Assert.Equal(new[] { "stop" }, own[0].GetTagItem("gen_ai.response.finish_reasons"));
        Assert.Equal((response.ResponseId, observed.Model), (own[0].GetTagItem("gen_ai.response.id"), own[0].GetTagItem("gen_ai.response.model")));
        Assert.Equal(ActivityStatusCode.Error, own[1].Status);
        Assert.Equal(typeof(InferenceException).FullName, own[1].GetTagItem("error.type"));
        Assert.Null(own[1].GetTagItem("gen_ai.usage.output_tokens"));
        Assert.Equal(2, observed.Values("gen_ai.client.operation.duration").Length);
        Assert.Single(observed.Values("gen_ai.server.time_to_first_token"));
        Assert.Single(observed.Values("gen_ai.server.time_per_output_token"));
        Assert.Equal([("output", 4.0)], observed.Values("gen_ai.client.token.usage").Where(entry => entry.Type == "output"));

        // Chunks are a stream's, and this was none.
        Assert.Empty(observed.Values("gen_ai.client.operation.time_to_first_chunk"));
    }

    [Fact]
    public async Task A_stream_has_times_of_chunks_and_one_that_is_left_counts_what_was_written()
    {
        using Observed observed = new();
        ScriptedModel model = new(512, 8) { Reply = _ => "abcdef" };
        using LongCatChatClient client = new(model.Engine(), ChatTemplates.LongCat, new LongCatChatClientOptions { ModelId = observed.Model }, ownsEngine: true);

        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync("Q").ToListAsync();
        Assert.Single(observed.Values("gen_ai.client.operation.time_to_first_chunk"));
        Assert.Equal(updates.Count - 1, observed.Values("gen_ai.client.operation.time_per_output_chunk").Length);

        int seen = 0;
        await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Q"))
        {
            if (++seen == 3)
            {
                break;
            }
        }

        Activity left = observed.Activities()[1];
        Assert.Equal((ActivityStatusCode.Unset, null), (left.Status, left.GetTagItem("error.type")));
        Assert.Null(left.GetTagItem("gen_ai.response.finish_reasons"));
        Assert.Equal(3, left.GetTagItem("gen_ai.usage.output_tokens"));
        Assert.Equal([7.0, 3.0], observed.Values("gen_ai.client.token.usage").Where(entry => entry.Type == "output").Select(entry => entry.Value));

        using CancellationTokenSource source = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Q", cancellationToken: source.Token))
            {
                await source.CancelAsync();
            }
        });
        Assert.Equal(ActivityStatusCode.Error, observed.Activities()[2].Status);
        Assert.Equal(typeof(OperationCanceledException).FullName, observed.Activities()[2].GetTagItem("error.type"));
    }

    /// <summary>Listens to one model, whose name no other test has.</summary>
    private sealed class Observed : IDisposable
    {
        private readonly List<Activity> _activities = [];
        private readonly List<(string Name, string? Type, double Value)> _measured = [];
        private readonly ActivityListener _listener;
        private readonly MeterListener _meters;

        public Observed()
        {
            _listener = new ActivityListener
            {
                ShouldListenTo = source => source.Name == LongCatTelemetry.SourceName,
                Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
                ActivityStopped = activity =>
                {
                    lock (_activities)
                    {
                        _activities.Add(activity);
                    }
                },
            };
            ActivitySource.AddActivityListener(_listener);
            _meters = new MeterListener
            {
                InstrumentPublished = (instrument, self) =>
                {
                    if (instrument.Meter.Name == LongCatTelemetry.SourceName)
                    {
                        self.EnableMeasurementEvents(instrument);
                    }
                },
            };
            _meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument.Name, value, tags));
            _meters.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Add(instrument.Name, value, tags));
            _meters.Start();
        }

        public string Model { get; } = $"telemetry-{Guid.NewGuid():N}";

        public Activity[] Activities()
        {
            lock (_activities)
            {
                return [.. _activities.Where(activity => activity.DisplayName == $"chat {Model}")];
            }
        }

        public (string? Type, double Value)[] Values(string name)
        {
            lock (_measured)
            {
                return [.. _measured.Where(entry => entry.Name == name).Select(entry => (entry.Type, entry.Value))];
            }
        }

        public void Dispose()
        {
            _listener.Dispose();
            _meters.Dispose();
        }

        private void Add(string instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            Dictionary<string, object?> values = new(tags.ToArray());
            if (values["gen_ai.request.model"] as string == Model)
            {
                lock (_measured)
                {
                    _measured.Add((instrument, values.GetValueOrDefault("gen_ai.token.type") as string, value));
                }
            }
        }
    }
}
