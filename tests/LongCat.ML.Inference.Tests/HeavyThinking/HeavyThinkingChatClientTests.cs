using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.HeavyThinking;
using LongCat.ML.Inference.Tests.Chat;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.HeavyThinking;

/// <summary>Trajectories, summaries, rounds, memory, budget: over clients that say what the test wants.</summary>
public sealed class HeavyThinkingChatClientTests
{
    [Fact]
    public async Task Trajectories_think_apart_and_the_summary_sees_answers_only()
    {
        FakeChatClient thinker = FakeChatClient.Saying(call => $"answer {call.Index}"), summarizer = FakeChatClient.Saying(_ => "the summary", 20);
        using HeavyThinkingChatClient client = new(thinker, summarizer, new HeavyThinkingOptions { Width = 3, Seed = 100 });

        ChatResponse response = await client.GetResponseAsync([new(ChatRole.System, "S"), new(ChatRole.User, "What is it?")], new ChatOptions { Temperature = 0.2f, TopK = 7 });

        Assert.Equal("the summary", response.Text);
        Assert.Equal(["thoughts of the summary"], response.Messages.SelectMany(message => message.Contents).OfType<TextReasoningContent>().Select(content => content.Text));
        Assert.All(thinker.Calls, call => Assert.Equal(["S", "What is it?"], call.Messages.Select(message => message.Text)));
        Assert.Equal([100, 101, 102], thinker.Calls.Select(call => call.Options.Seed!.Value).Order());
        Assert.All(thinker.Calls, call => Assert.Equal((1f, 1f, 7), (call.Options.Temperature, call.Options.TopP, call.Options.TopK)));
        FakeChatClient.Call summary = Assert.Single(summarizer.Calls);
        Assert.Equal(0.2f, summary.Options.Temperature);
        Assert.Equal(2, summary.Messages.Count);
        Assert.Contains("# Request\nWhat is it?\n", summary.Messages[1].Text, StringComparison.Ordinal);
        Assert.All(Enumerable.Range(0, 3), index => Assert.Contains($"\nanswer {index}\n", summary.Messages[1].Text, StringComparison.Ordinal));
        Assert.DoesNotContain("thoughts of", summary.Messages[1].Text, StringComparison.Ordinal);
        Assert.Equal((20, 50, 70), (response.Usage!.InputTokenCount, response.Usage.OutputTokenCount, response.Usage.TotalTokenCount));
        HeavyThinkingResult result = Assert.IsType<HeavyThinkingResult>(response.AdditionalProperties![HeavyThinkingResult.Key]);
        Assert.Equal(3, result.Candidates.Count);
        Assert.False(result.Agreed);
    }

    [Fact]
    public async Task Earlier_turns_come_without_their_thoughts()
    {
        FakeChatClient inner = FakeChatClient.Saying(_ => "A");
        using HeavyThinkingChatClient client = new(inner, options: new HeavyThinkingOptions { Width = 2 });
        List<ChatMessage> chat = [new(ChatRole.User, "Q1")];
        chat.AddRange((await client.GetResponseAsync(chat)).Messages);
        Assert.Contains(chat[^1].Contents, content => content is TextReasoningContent);
        chat.Add(new ChatMessage(ChatRole.User, "Q2"));

        await client.GetResponseAsync(chat);

        Assert.Equal(6, inner.Calls.Count);
        foreach (FakeChatClient.Call call in inner.Calls.Skip(3))
        {
            Assert.DoesNotContain(call.Messages.SelectMany(message => message.Contents), content => content is TextReasoningContent);
            Assert.Equal(["Q1", "A"], call.Messages.Take(2).Select(message => message.Text));
        }

        // The caller's own messages stay as they are.
        Assert.Contains(chat[1].Contents, content => content is TextReasoningContent);
    }

    [Fact]
    public async Task Rounds_summarize_summaries()
    {
        FakeChatClient thinker = FakeChatClient.Saying(call => $"first {call.Index}");
        FakeChatClient summarizer = FakeChatClient.Saying(call => $"second {call.Index}");
        using HeavyThinkingChatClient client = new(thinker, summarizer, new HeavyThinkingOptions { Width = 3, Rounds = 2, KeepFirstAnswers = true });

        ChatResponse response = await client.GetResponseAsync("Q");

        Assert.Equal("second 3", response.Text);
        Assert.Equal(4, summarizer.Calls.Count);
        Assert.All(summarizer.Calls.Take(3), call => Assert.DoesNotContain("second", call.Messages[0].Text, StringComparison.Ordinal));
        Assert.All(Enumerable.Range(0, 3), index => Assert.Contains($"second {index}", summarizer.Calls[3].Messages[0].Text, StringComparison.Ordinal));
        Assert.Contains("first 2", summarizer.Calls[3].Messages[0].Text, StringComparison.Ordinal);
        HeavyThinkingResult result = (HeavyThinkingResult)response.AdditionalProperties![HeavyThinkingResult.Key]!;
        Assert.Equal([1, 1, 1, 2, 2, 2], result.Candidates.Select(candidate => candidate.Round));
        Assert.Equal(70, result.Usage.OutputTokenCount);
    }

    [Fact]
    public async Task Candidates_are_permuted_by_the_seed()
    {
        async Task<string> Order(long seed, bool permute)
        {
            FakeChatClient thinker = FakeChatClient.Saying(call => $"<{call.Options.Seed - seed}>"), summarizer = FakeChatClient.Saying(_ => "s");
            using HeavyThinkingChatClient client = new(thinker, summarizer, new HeavyThinkingOptions { Width = 6, Seed = seed, PermuteCandidates = permute });
            await client.GetResponseAsync("Q");
            return string.Concat(summarizer.Calls[0].Messages[0].Text.Where(char.IsDigit).Where((_, index) => index % 2 == 1));
        }

        Assert.Equal("012345", await Order(3, permute: false));
        Assert.Equal(await Order(3, permute: true), await Order(3, permute: true));
        string[] orders = [await Order(1, permute: true), await Order(2, permute: true), await Order(3, permute: true), await Order(4, permute: true)];
        Assert.True(orders.Distinct().Count() > 2, string.Join(' ', orders));
        Assert.All(orders, order => Assert.Equal("012345", string.Concat(order.Order())));
    }

    [Fact]
    public async Task Agreement_ends_the_thinking_early()
    {
        TaskCompletionSource never = new(), all = new();
        int dropped = 0;
        FakeChatClient thinker = new(async (call, cancellationToken) =>
        {
            if (call.Index < 2)
            {
                await all.Task;
                return FakeChatClient.Response(call.Index == 0 ? "So it is \\boxed{ 4{2} }" : "Ha: \\boxed{4{2}}.");
            }

            try
            {
                _ = call.Index == 3 && all.TrySetResult();
                await never.Task.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                Interlocked.Increment(ref dropped);
                throw;
            }

            return FakeChatClient.Response("late");
        });
        FakeChatClient summarizer = FakeChatClient.Saying(_ => "s");
        using HeavyThinkingChatClient client = new(thinker, summarizer, new HeavyThinkingOptions { Width = 4, EarlyAgreement = 0.5 });

        ChatResponse response = await client.GetResponseAsync("Q");

        Assert.Equal("So it is \\boxed{ 4{2} }", response.Text);
        Assert.Equal(2, dropped);
        Assert.Empty(summarizer.Calls);
        HeavyThinkingResult result = (HeavyThinkingResult)response.AdditionalProperties![HeavyThinkingResult.Key]!;
        Assert.True(result.Agreed);
        Assert.Equal(2, result.Candidates.Count(candidate => candidate.Error is OperationCanceledException));
        Assert.Equal(20, response.Usage!.OutputTokenCount);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
    }

    [Fact]
    public async Task A_token_budget_is_shared_and_never_exceeded()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            Random random = new(seed);
            FakeChatClient inner = new((call, _) =>
            {
                int limit = call.Options.MaxOutputTokens!.Value;
                Assert.True(limit >= 1);
                lock (random)
                {
                    return Task.FromResult(FakeChatClient.Response("x", random.Next(2) == 0 ? limit : Math.Max(1, limit / 3)));
                }
            });
            using HeavyThinkingChatClient client = new(inner, options: new HeavyThinkingOptions { Width = 4, Rounds = 2, TokenBudget = 900 });

            ChatResponse response = await client.GetResponseAsync("Q", new ChatOptions { MaxOutputTokens = 400 });

            Assert.InRange(response.Usage!.OutputTokenCount!.Value, 9, 900);
            Assert.All(inner.Calls.Take(4), call => Assert.Equal(100, call.Options.MaxOutputTokens));
            Assert.True(inner.Calls[^1].Options.MaxOutputTokens is >= 100 and <= 400);
        }
    }

    [Fact]
    public async Task Parallelism_is_bounded()
    {
        FakeChatClient thinker = new(async (_, cancellationToken) =>
        {
            await Task.Delay(5, cancellationToken);
            return FakeChatClient.Response("x");
        });
        using HeavyThinkingChatClient client = new(thinker, options: new HeavyThinkingOptions { Width = 8, MaxParallelism = 3 });
        await client.GetResponseAsync("Q");
        Assert.InRange(thinker.MostAtOnce, 1, 3);
        Assert.Equal(9, thinker.Calls.Count);
    }

    [Fact]
    public async Task Failures_are_left_out_while_one_answers()
    {
        FakeChatClient thinker = new((call, _) => call.Index == 1 ? Task.FromResult(FakeChatClient.Response("good")) : throw new InvalidOperationException("broken"));
        FakeChatClient summarizer = FakeChatClient.Saying(call => call.Messages[0].Text.Contains("Thinker 2", StringComparison.Ordinal) ? "two" : "one");
        using HeavyThinkingChatClient client = new(thinker, summarizer, new HeavyThinkingOptions { Width = 3 });
        ChatResponse response = await client.GetResponseAsync("Q");
        Assert.Equal("one", response.Text);
        Assert.Equal(2, ((HeavyThinkingResult)response.AdditionalProperties![HeavyThinkingResult.Key]!).Candidates.Count(candidate => candidate.Error is InvalidOperationException));

        using HeavyThinkingChatClient broken = new(new FakeChatClient((_, _) => throw new InvalidOperationException("broken")), summarizer);
        Assert.Contains("broken", (await Assert.ThrowsAsync<InvalidOperationException>(() => broken.GetResponseAsync("Q"))).Message, StringComparison.Ordinal);
        using HeavyThinkingChatClient silent = new(FakeChatClient.Saying(_ => ""), summarizer);
        Assert.Contains("cut off", (await Assert.ThrowsAsync<InvalidOperationException>(() => silent.GetResponseAsync("Q"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancellation_drops_every_call()
    {
        using CancellationTokenSource source = new();
        int dropped = 0;
        FakeChatClient thinker = new(async (call, cancellationToken) =>
        {
            if (call.Index == 3)
            {
                await source.CancelAsync();
            }

            try
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
            finally
            {
                Interlocked.Increment(ref dropped);
            }

            return FakeChatClient.Response("x");
        });
        using HeavyThinkingChatClient client = new(thinker);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.GetResponseAsync("Q", cancellationToken: source.Token));
        Assert.Equal(4, dropped);
    }

    [Fact]
    public void Options_out_of_range_are_named()
    {
        FakeChatClient inner = FakeChatClient.Saying(_ => "x");
        foreach ((HeavyThinkingOptions options, string name) in new (HeavyThinkingOptions, string)[]
        {
            (new() { Width = 0 }, "Width"), (new() { Rounds = 17 }, "Rounds"), (new() { EarlyAgreement = double.NaN }, "EarlyAgreement"), (new() { EarlyAgreement = 0 }, "EarlyAgreement"),
            (new() { TokenBudget = 4 }, "TokenBudget"), (new() { MaxParallelism = -1 }, "MaxParallelism"),
        })
        {
            Assert.Contains(name, Assert.ThrowsAny<ArgumentException>(() => new HeavyThinkingChatClient(inner, options: options)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Over_the_engine_the_common_beginning_is_computed_once()
    {
        string question = new('q', 200);
        ScriptedModel model = new(2048, 8) { Reply = prompt => prompt.Contains("# Thinker 3", StringComparison.Ordinal) ? "the summary" : "an answer" };
        await using InferenceEngine engine = model.Engine();
        using HeavyThinkingChatClient client = new(new LongCatChatClient(engine, ChatTemplates.LongCat), options: new HeavyThinkingOptions { Width = 4, Temperature = 0 });

        List<ChatResponseUpdate> updates = await client.GetStreamingResponseAsync(question).ToListAsync();

        Assert.Equal("the summary", string.Concat(updates.Select(update => update.Text)));
        Assert.True(updates.Count > 5);
        UsageDetails usage = Assert.Single(updates.SelectMany(update => update.Contents).OfType<UsageContent>()).Details;
        Assert.Equal((4 * 10) + 12, usage.OutputTokenCount);

        // Three of four prompts of 202 tokens find their whole pages in the cache.
        Assert.True(engine.Statistics.PrefixHitTokens >= 3 * 192, engine.Statistics.ToString());
    }
}
