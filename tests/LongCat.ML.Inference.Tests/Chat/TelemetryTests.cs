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
        List<Activity> activities = [];
        List<(string Name, double Value, string? Type)> measured = [];
        string name = $"telemetry-{Guid.NewGuid():N}";
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == LongCatTelemetry.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                lock (activities)
                {
                    activities.Add(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        using MeterListener meters = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == LongCatTelemetry.SourceName)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument.Name, value, tags));
        meters.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Add(instrument.Name, value, tags));
        meters.Start();
        ScriptedModel model = new(128, 8) { Reply = _ => "abc" };
        using LongCatChatClient client = new(model.Engine(maxPositions: 128), ChatTemplates.LongCat, new LongCatChatClientOptions { ModelId = name }, ownsEngine: true);

        ChatResponse response = await client.GetResponseAsync("Q", new ChatOptions { Seed = 4, MaxOutputTokens = 9 });
        await Assert.ThrowsAsync<InferenceException>(() => client.GetResponseAsync(new string('x', 200)));

        Activity[] own = [.. activities.Where(activity => activity.DisplayName == $"chat {name}")];
        Assert.Equal(2, own.Length);
        Assert.Equal("chat", own[0].GetTagItem("gen_ai.operation.name"));
        Assert.Equal(4L, own[0].GetTagItem("gen_ai.request.seed"));
        Assert.Equal(9, own[0].GetTagItem("gen_ai.request.max_tokens"));
        Assert.Equal((int)response.Usage!.InputTokenCount!, own[0].GetTagItem("gen_ai.usage.input_tokens"));
        Assert.Equal(4, own[0].GetTagItem("gen_ai.usage.output_tokens"));
        Assert.Equal(new[] { "stop" }, own[0].GetTagItem("gen_ai.response.finish_reasons"));
        Assert.Equal(ActivityStatusCode.Error, own[1].Status);
        Assert.Equal(typeof(InferenceException).FullName, own[1].GetTagItem("error.type"));
        Assert.Equal(2, measured.Count(entry => entry.Name == "gen_ai.client.operation.duration"));
        Assert.Single(measured, entry => entry.Name == "gen_ai.server.time_to_first_token");
        Assert.Contains(("gen_ai.client.token.usage", 4, "output"), measured);

        void Add(string instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            Dictionary<string, object?> values = new(tags.ToArray());
            if (values["gen_ai.request.model"] as string == name)
            {
                measured.Add((instrument, value, values.GetValueOrDefault("gen_ai.token.type") as string));
            }
        }
    }
}
