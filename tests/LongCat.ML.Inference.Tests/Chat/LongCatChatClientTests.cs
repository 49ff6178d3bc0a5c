using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat;
using LongCat.ML.TestShared;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>The chat client over an engine whose model says what the test wants.</summary>
public sealed class LongCatChatClientTests
{
    private static readonly AIFunction s_weather = AIFunctionFactory.Create((string city, int days) => $"{city} {days}", "weather", "The weather of a city.");

    [Fact]
    public async Task A_chat_is_rendered_answered_and_counted()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "<longcat_think>\nHm.\n</longcat_think>\nGrüezi!" };
        using LongCatChatClient client = Client(model);

        ChatResponse response = await client.GetResponseAsync(
            [new(ChatRole.System, "S"), new(ChatRole.User, "Q1"), new(ChatRole.Assistant, "A1"), new(ChatRole.User, "Q2")], new ChatOptions { Instructions = "I" });

        string prompt = "<longcat_system>I\n\nS<longcat_user>Q1<longcat_assistant>A1</longcat_s><longcat_user>Q2<longcat_assistant>";
        Assert.Equal(prompt, model.Prompts[0]);
        Assert.Equal("Grüezi!", response.Text);
        Assert.Equal("Hm.", Assert.Single(response.Messages[0].Contents.OfType<TextReasoningContent>()).Text);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Equal("scripted", response.ModelId);
        int input = model.Tokenizer.Encode(prompt, addSpecialTokens: false).Count;
        int output = model.Tokenizer.Encode("<longcat_think>\nHm.\n</longcat_think>\nGrüezi!", addSpecialTokens: false).Count + 1;
        Assert.Equal((input, output, input + output), (response.Usage!.InputTokenCount, response.Usage.OutputTokenCount, response.Usage.TotalTokenCount));
        Assert.InRange(response.Usage.ReasoningTokenCount!.Value, 4, 8);
    }

    [Fact]
    public async Task Streaming_gives_the_same_and_the_end_comes_last()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "I think.\n</longcat_think>\nYes, ü.", BegunTokens = 2 };
        using LongCatChatClient client = Client(model);
        ChatOptions options = new() { Reasoning = new ReasoningOptions { Effort = ReasoningEffort.High } };

        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync("Q", options).ToListAsync();

        Assert.EndsWith("<longcat_assistant><longcat_think>\n", model.Prompts[0], StringComparison.Ordinal);
        Assert.True(updates.Count > 8, $"{updates.Count} updates");
        Assert.Equal("I think.", string.Concat(updates.SelectMany(update => update.Contents).OfType<TextReasoningContent>().Select(content => content.Text)));
        Assert.Equal("Yes, ü.", string.Concat(updates.Select(update => update.Text)));
        Assert.All(updates.SkipLast(1), update => Assert.Null(update.FinishReason));
        Assert.Equal(ChatFinishReason.Stop, updates[^1].FinishReason);
        Assert.Single(updates.SelectMany(update => update.Contents).OfType<UsageContent>());
        Assert.Single(updates.Select(update => update.ResponseId).Distinct());

        options.Reasoning.Output = ReasoningOutput.None;
        ChatResponse quiet = await client.GetResponseAsync("Q", options);
        Assert.Equal("Yes, ü.", quiet.Text);
        Assert.Empty(quiet.Messages[0].Contents.OfType<TextReasoningContent>());
    }

    [Fact]
    public async Task Tools_go_through_the_template_and_back()
    {
        ScriptedModel model = new(1024, 8)
        {
            Reply = prompt => prompt.Contains("<longcat_tool_response>weather: Bern 2", StringComparison.Ordinal)
                ? "Sunny."
                : "<longcat_tool_call>weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Bern</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>2</longcat_arg_value>\n</longcat_tool_call>\n",
        };
        using LongCatChatClient client = Client(model);
        List<ChatMessage> chat = [new(ChatRole.User, "Weather?")];
        ChatOptions options = new() { Tools = [s_weather] };

        ChatResponse response = await client.GetResponseAsync(chat, options);

        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        FunctionCallContent call = Assert.Single(response.Messages[0].Contents.OfType<FunctionCallContent>());
        object? result = await s_weather.InvokeAsync(new AIFunctionArguments(call.Arguments));
        chat.AddRange(response.Messages);
        chat.Add(new ChatMessage(ChatRole.Tool, [new FunctionResultContent(call.CallId, result)]));
        response = await client.GetResponseAsync(chat, options);
        Assert.Equal("Sunny.", response.Text);
        Assert.Contains("<longcat_tool_declare>weather {", model.Prompts[^1], StringComparison.Ordinal);
        Assert.Contains("""<longcat_tool_call>weather {"city": "Bern", "days": 2}</longcat_tool_call>""", model.Prompts[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_call_at_a_time_ends_the_reply()
    {
        const string Call = "<longcat_tool_call>{\"name\": \"weather\", \"arguments\": {}}</longcat_tool_call>";
        ScriptedModel model = new(1024, 8) { Reply = _ => Call + Call };
        using LongCatChatClient client = Client(model);

        ChatResponse both = await client.GetResponseAsync("Q", new ChatOptions { Tools = [s_weather] });
        ChatResponse one = await client.GetResponseAsync("Q", new ChatOptions { Tools = [s_weather], AllowMultipleToolCalls = false });

        Assert.Equal(2, both.Messages[0].Contents.OfType<FunctionCallContent>().Count());
        Assert.Single(one.Messages[0].Contents.OfType<FunctionCallContent>());
        Assert.True(one.Usage!.OutputTokenCount < both.Usage!.OutputTokenCount);
        Assert.Equal(ChatFinishReason.ToolCalls, one.FinishReason);
    }

    [Fact]
    public async Task A_required_call_is_written_whatever_the_model_prefers()
    {
        ScriptedModel model = new(1024, 8) { Flat = true };
        using LongCatChatClient client = Client(model);
        AIFunctionDeclaration unit = AIFunctionFactory.CreateDeclaration("unit", "The unit.", Schema("""{"type": "object", "properties": {"of": {"enum": ["C", "F"]}}, "required": ["of"]}"""));
        for (int seed = 0; seed < 6; seed++)
        {
            ChatOptions options = new() { Tools = [s_weather, unit], ToolMode = ChatToolMode.RequireAny, AllowMultipleToolCalls = false, Temperature = 1, Seed = seed, MaxOutputTokens = 3000 };
            ChatResponse response = await client.GetResponseAsync("Q", options);
            FunctionCallContent call = Assert.IsType<FunctionCallContent>(Assert.Single(response.Messages[0].Contents, content => content is not UsageContent));
            Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
            if (call.Name == "unit")
            {
                Assert.Contains(((JsonElement)call.Arguments!["of"]!).GetString(), new[] { "C", "F" });
            }
            else
            {
                Assert.Equal((JsonValueKind.String, true), (((JsonElement)call.Arguments!["city"]!).ValueKind, ((JsonElement)call.Arguments["days"]!).TryGetInt64(out _)));
            }

            options.ToolMode = ChatToolMode.RequireSpecific("unit");
            response = await client.GetResponseAsync("Q", options);
            Assert.Equal("unit", Assert.Single(response.Messages[0].Contents.OfType<FunctionCallContent>()).Name);
        }
    }

    [Fact]
    public async Task A_required_call_comes_behind_the_thoughts_and_others_may_follow()
    {
        const string Call = "<longcat_tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\", \"days\": 2}}\n</longcat_tool_call>";
        ScriptedModel model = new(1024, 8) { Reply = _ => "I must call.\n</longcat_think>\n" + Call + "\n" + Call, BegunTokens = 2 };
        using LongCatChatClient client = Client(model);
        ChatOptions options = new() { Tools = [s_weather], ToolMode = ChatToolMode.RequireAny, Reasoning = new ReasoningOptions { Effort = ReasoningEffort.High } };

        ChatResponse response = await client.GetResponseAsync("Q", options);

        Assert.Equal("I must call.", Assert.Single(response.Messages[0].Contents.OfType<TextReasoningContent>()).Text);
        Assert.Equal(2, response.Messages[0].Contents.OfType<FunctionCallContent>().Count());
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
    }

    [Fact]
    public async Task Options_reach_the_engine()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "one two three" };
        using LongCatChatClient client = Client(model);

        Assert.Equal("one ", (await client.GetResponseAsync("Q", new ChatOptions { StopSequences = ["two"] })).Text);
        ChatResponse cut = await client.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 3 });
        Assert.Equal(("one", ChatFinishReason.Length), (cut.Text, cut.FinishReason!.Value));

        model.Flat = true;
        ChatOptions drawn = new() { Temperature = 1, Seed = -5, MaxOutputTokens = 24 };
        string first = (await client.GetResponseAsync("Q", drawn)).Text;
        Assert.Equal(first, (await client.GetResponseAsync("Q", drawn)).Text);
        drawn.Seed = 6;
        Assert.NotEqual(first, (await client.GetResponseAsync("Q", drawn)).Text);
        drawn.TopK = 1;
        string greedy = (await client.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 24 })).Text;
        Assert.Equal(greedy, (await client.GetResponseAsync("Q", drawn)).Text);
        (drawn.TopK, drawn.TopP) = (null, 1e-6f);
        Assert.Equal(greedy, (await client.GetResponseAsync("Q", drawn)).Text);
    }

    [Fact]
    public async Task Log_probabilities_come_in_updates_and_responses()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "abc" };
        using LongCatChatClient client = Client(model);
        ChatOptions options = new() { AdditionalProperties = new() { ["logprobs"] = true, ["top_logprobs"] = 2 } };

        ChatResponse response = await client.GetResponseAsync("Q", options);

        IReadOnlyList<TokenLogProbability> values = Assert.IsAssignableFrom<IReadOnlyList<TokenLogProbability>>(response.AdditionalProperties!["logprobs"]);
        Assert.Equal(4, values.Count);
        Assert.All(values, value => Assert.Equal(2, value.Alternatives.Count));
        Assert.Equal(values[0].Alternatives[0].Id, values[0].Id);
        int streamed = 0;
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync("Q", options))
        {
            streamed += ((IReadOnlyList<TokenLogProbability>)update.AdditionalProperties!["logprobs"]!).Count;
        }

        Assert.Equal(4, streamed);
        Assert.Null((await client.GetResponseAsync("Q")).AdditionalProperties);
    }

    [Fact]
    public async Task Adapters_by_property_and_by_model_name()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "x", Adapters = ToyModel.Named("legal") };
        using LongCatChatClient client = Client(model);

        Assert.Equal("legal", (await client.GetResponseAsync("Q", new ChatOptions { ModelId = "legal" })).ModelId);
        Assert.Equal("legal", (await client.GetResponseAsync("Q", new ChatOptions { AdditionalProperties = new() { ["adapter"] = "legal" } })).ModelId);
        Assert.Equal("scripted", (await client.GetResponseAsync("Q", new ChatOptions { ModelId = "scripted" })).ModelId);
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => client.GetResponseAsync("Q", new ChatOptions { ModelId = "other" }));
        Assert.Contains("'scripted', 'legal'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancellation_throws_and_leaving_drops()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => new string('a', 2000) };
        using InferenceEngine engine = model.Engine();
        using LongCatChatClient client = new(engine, ChatTemplates.LongCat);
        using CancellationTokenSource source = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Q", cancellationToken: source.Token))
            {
                await source.CancelAsync();
            }
        });
        await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync("Q"))
        {
            break;
        }

        SpinWait.SpinUntil(() => engine.Statistics.RequestsCancelled == 2, TimeSpan.FromSeconds(30));
        Assert.Equal(2, engine.Statistics.RequestsCancelled);
    }

    [Fact]
    public async Task A_cancelled_stream_gives_nothing_more_even_where_the_whole_reply_lies_ready()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => new string('a', 100) };
        using InferenceEngine engine = model.Engine();
        using LongCatChatClient client = new(engine, ChatTemplates.LongCat);
        using CancellationTokenSource source = new();
        await using IAsyncEnumerator<ChatResponseUpdate> updates = client.GetStreamingResponseAsync("Q", cancellationToken: source.Token).GetAsyncEnumerator();
        Assert.True(await updates.MoveNextAsync());
        Assert.True(SpinWait.SpinUntil(() => engine.Statistics.RequestsFinished == 1, TimeSpan.FromSeconds(30)));

        await source.CancelAsync();

        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await updates.MoveNextAsync());
        Assert.Equal(source.Token, error.CancellationToken);
    }

    [Fact]
    public async Task What_was_found_in_the_cache_is_counted()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "abc" };
        using LongCatChatClient client = Client(model);
        string question = new('q', 40);

        ChatResponse first = await client.GetResponseAsync(question);
        ChatResponse again = await client.GetResponseAsync([new(ChatRole.User, question), new(ChatRole.Assistant, first.Text), new(ChatRole.User, "More")]);

        Assert.Equal(0, first.Usage!.CachedInputTokenCount);

        // Whole pages of eight tokens: the first prompt's, at least.
        Assert.InRange(again.Usage!.CachedInputTokenCount!.Value, first.Usage.InputTokenCount!.Value - 8, again.Usage.InputTokenCount!.Value - 1);
        Assert.Equal(0, again.Usage.CachedInputTokenCount!.Value % 8);
    }

    [Fact]
    public async Task Chats_at_once_over_one_engine_stay_apart()
    {
        // Each is answered with its own question, at once with the others and with some that leave in the middle.
        ScriptedModel model = new(512, 8) { Reply = prompt => $"<longcat_think>\nof {Question(prompt)}\n</longcat_think>\nto {Question(prompt)}, {new string('x', Question(prompt).Length * 3)}" };
        using InferenceEngine engine = model.Engine();
        using LongCatChatClient client = new(engine, ChatTemplates.LongCat);
        int left = 0;
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(async () =>
        {
            string question = $"question {new string((char)('a' + (i % 26)), i % 9)} {i}";
            if (i % 5 == 0)
            {
                await foreach (ChatResponseUpdate _ in client.GetStreamingResponseAsync(question))
                {
                    Interlocked.Increment(ref left);
                    return;
                }
            }

            ChatResponse response = i % 2 == 0 ? await client.GetResponseAsync(question) : await client.GetStreamingResponseAsync(question).ToChatResponseAsync();
            Assert.Equal($"to {question}, {new string('x', question.Length * 3)}", response.Text);
            Assert.Equal($"of {question}", Assert.Single(response.Messages[0].Contents.OfType<TextReasoningContent>()).Text);
            Assert.Equal(model.Tokenizer.Encode($"<longcat_user>{question}<longcat_assistant>", addSpecialTokens: false).Count, response.Usage!.InputTokenCount);
        })));

        Assert.Equal(8, left);
        Assert.True(SpinWait.SpinUntil(() => engine.Statistics is { RequestsRunning: 0, PagesUsed: 0 }, TimeSpan.FromSeconds(30)));
        Assert.Equal(32, engine.Statistics.RequestsFinished + engine.Statistics.RequestsCancelled - left);

        static string Question(string prompt) => prompt[(prompt.LastIndexOf("<longcat_user>", StringComparison.Ordinal) + 14)..].Replace("<longcat_assistant>", "", StringComparison.Ordinal);
    }

    [Fact]
    public async Task Disposal_ends_streams_of_an_owned_engine_and_leaves_another_alone()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => new string('a', 3000) };
        LongCatChatClient owner = Client(model);
        await using IAsyncEnumerator<ChatResponseUpdate> updates = owner.GetStreamingResponseAsync("Q").GetAsyncEnumerator();
        Assert.True(await updates.MoveNextAsync());
        owner.Dispose();
        owner.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
        {
            while (await updates.MoveNextAsync())
            {
            }
        });
        await Assert.ThrowsAsync<ObjectDisposedException>(() => owner.GetResponseAsync("Q"));

        using InferenceEngine engine = new ScriptedModel(512, 8) { Reply = _ => "b" }.Engine();
        using (LongCatChatClient guest = new(engine, ChatTemplates.LongCat))
        {
        }

        using LongCatChatClient next = new(engine, ChatTemplates.LongCat);
        Assert.Equal("b", (await next.GetResponseAsync("Q")).Text);
    }

    [Fact]
    public async Task What_cannot_be_done_is_named()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "x" };
        using LongCatChatClient client = Client(model);
        await Refused<ArgumentException>("FrequencyPenalty is NaN", new ChatOptions { FrequencyPenalty = float.NaN });
        await Refused<NotSupportedException>("ConversationId is 'c'", new ChatOptions { ConversationId = "c" });
#pragma warning disable MEAI001
        await Refused<NotSupportedException>("ContinuationToken", new ChatOptions { ContinuationToken = ResponseContinuationToken.FromBytes(new byte[] { 1 }) });
#pragma warning restore MEAI001
        await Refused<ArgumentException>("ChatOptions.ToolMode requires a call of a tool, and ChatOptions.Tools holds none", new ChatOptions { ToolMode = ChatToolMode.RequireAny });
        await Refused<ArgumentException>("requires a call of 'time', and ChatOptions.Tools holds weather", new ChatOptions { Tools = [s_weather], ToolMode = ChatToolMode.RequireSpecific("time") });
        await Refused<NotSupportedException>("ResponseFormat asks for JSON", new ChatOptions { Tools = [s_weather], ToolMode = ChatToolMode.RequireAny, ResponseFormat = ChatResponseFormat.Json });
        await Refused<InferenceException>("the tool 'bad'", new ChatOptions { Tools = [AIFunctionFactory.CreateDeclaration("bad", "", Schema("""{"type": "object", "properties": {"a": {"not": {}}}}"""))], ToolMode = ChatToolMode.RequireAny });
        await Refused<NotSupportedException>("HostedWebSearchTool", new ChatOptions { Tools = [new HostedWebSearchTool()] });
        await Refused<ArgumentException>("top_logprobs", new ChatOptions { AdditionalProperties = new() { ["top_logprobs"] = "two" } });
        await Refused<ArgumentException>("RawRepresentationFactory gave String", new ChatOptions { RawRepresentationFactory = _ => "x" });
        await Refused<ArgumentException>("Temperature", new ChatOptions { Temperature = float.NaN });
        await Refused<ArgumentException>("MaxNewTokens", new ChatOptions { MaxOutputTokens = -1 });
        NotSupportedException image = await Assert.ThrowsAsync<NotSupportedException>(() => client.GetResponseAsync([new(ChatRole.User, [new DataContent(new byte[] { 1 }, "image/png")])]));
        Assert.Contains("DataContent", image.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync(Array.Empty<ChatMessage>()));
        InferenceException longPrompt = await Assert.ThrowsAsync<InferenceException>(() => client.GetResponseAsync(new string('x', 5000)));
        Assert.Contains("longest sequence", longPrompt.Message, StringComparison.Ordinal);

        async Task Refused<T>(string expected, ChatOptions options)
            where T : Exception
        {
            Exception error = await Assert.ThrowsAnyAsync<T>(() => client.GetResponseAsync("Q", options));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Own_generation_options_are_the_base_of_the_others()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "abcdef" };
        using LongCatChatClient client = Client(model);
        ChatOptions options = new() { RawRepresentationFactory = _ => new GenerationOptions { MaxNewTokens = 2, StopTokenIds = [RandomCheckpoint.FirstByteToken + 'b'] } };

        ChatResponse response = await client.GetResponseAsync("Q", options);

        Assert.Equal(("a", ChatFinishReason.Stop), (response.Text, response.FinishReason!.Value));
    }

    [Fact]
    public async Task The_longest_sequence_ends_a_reply_without_an_error()
    {
        ScriptedModel model = new(12, 8) { Reply = _ => new string('a', 500) };
        using LongCatChatClient client = new(model.Engine(maxPositions: 4096), ChatTemplates.LongCat, ownsEngine: true);

        ChatResponse response = await client.GetResponseAsync("Q");

        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Equal(97, response.Usage!.TotalTokenCount);
    }

    [Fact]
    public void Services_by_type()
    {
        ScriptedModel model = new(64, 8);
        using InferenceEngine engine = model.Engine();
        using LongCatChatClient client = new(engine, ChatTemplates.LongCat, new LongCatChatClientOptions { ModelId = "m" });
        Assert.Same(engine, client.GetService<InferenceEngine>());
        Assert.Same(model.Tokenizer, client.GetService<HuggingFaceTokenizer>());
        Assert.Same(client, client.GetService<IChatClient>());
        Assert.NotNull(client.GetService<ChatTemplate>());
        Assert.Null(client.GetService<string>());
        Assert.Null(client.GetService(typeof(InferenceEngine), "key"));
        ChatClientMetadata metadata = client.GetService<ChatClientMetadata>()!;
        Assert.Equal(("longcat.ml", "m"), (metadata.ProviderName, metadata.DefaultModelId));
    }

    [Fact]
    public void A_template_that_knows_no_tools_refuses_them()
    {
        ScriptedModel model = new(64, 8);
        using InferenceEngine engine = model.Engine();
        using LongCatChatClient client = new(engine, ChatTemplate.Parse("{{ messages[0].content }}", "plain"));
        NotSupportedException error = Assert.Throws<NotSupportedException>(() => client.GetResponseAsync("Q", new ChatOptions { Tools = [s_weather] }).GetAwaiter().GetResult());
        Assert.Contains("'plain'", error.Message, StringComparison.Ordinal);
    }

    private static JsonElement Schema(string text) => JsonDocument.Parse(text).RootElement;

    private static LongCatChatClient Client(ScriptedModel model) =>
        new(model.Engine(), ChatTemplates.LongCat, new LongCatChatClientOptions { ModelId = "scripted" }, ownsEngine: true);
}
