using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Tests.Speculation;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Ten thousand requests that come, go and fail at random, over the toy model: with the scheduler alone, then with the engine and its callers' threads.</summary>
public sealed class JoinsAndLeavesTests(ITestOutputHelper output)
{
    private const int Requests = 10_000;
    private const int Poison = ToyModel.Vocabulary;
    private static readonly string[] s_adapters = ["red", "green", "blue"];
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>Full and streaming attentions, streaming ones only, blocks that are no multiple of the page, no sinks, a window of one block.</summary>
    public static TheoryData<string, int, bool, bool> Attentions => new()
    {
        { "full", 0, false, false },
        { "full", 0, true, false },
        { "full 4/1/2", 26, false, false },
        { "full 4/1/2", 26, true, false },
        { "full 8/1/3", 40, false, false },
        { "full 3/2/1", 30, true, false },
        { "4/1/2", 20, false, false },
        { "6/0/2", 18, true, false },
        { "5/1/2", 18, true, false },
        { "full", 0, true, true },
        { "full 4/1/2", 60, true, true },
        { "6/0/2", 60, true, true },
    };

    [Theory]
    [MemberData(nameof(Attentions))]
    public void The_scheduler_owns_every_page_once_at_every_step_and_gets_all_of_them_back(string attention, int streamingPages, bool speculates, bool sparse)
    {
        Random random = new(2026);
        ToyAttention toy = ToyAttention.Parse(attention, SchedulerHarness.PageSize);
        SchedulerHarness harness = new(
            pages: 60, maxSequences: 12, maxTokens: 24, Poison, speculator: speculates ? ToyProposer.Speculator(7, Poison, Options(sparse), attention: toy) : null, attention: toy, streamingPages: streamingPages);
        Dictionary<Sequence, Action> open = [];
        int submitted = 0, finished = 0, failed = 0, steps = 0;
        int[] left = new int[3];
        while (submitted < Requests || open.Count > 0)
        {
            for (int arrivals = harness.Scheduler.Waiting.Count > 20 ? 0 : random.Next(5); arrivals > 0 && submitted < Requests; arrivals--, submitted++)
            {
                (Sequence sequence, Action check) = harness.AddRandom(random);
                open.Add(sequence, check);
            }

            // Who leaves: one that runs, one that waits (perhaps preempted), or all of those that run at once.
            for (int way = 0; way < 3; way++)
            {
                IReadOnlyList<Sequence> from = way == 1 ? harness.Scheduler.Waiting : harness.Scheduler.Running;
                if (from.Count > 0 && random.Next(way == 2 ? 300 : 6) == 0)
                {
                    foreach (Sequence victim in way == 2 ? [.. from] : new[] { from[random.Next(from.Count)] })
                    {
                        harness.Scheduler.Remove(victim);
                        Assert.True(open.Remove(victim));
                        left[way]++;
                    }
                }
            }

            harness.Executor.RunStep();
            foreach (Sequence sequence in harness.Executor.Finished)
            {
                Assert.DoesNotContain(Poison, sequence.Tokens);
                sequence.Complete();
                open.Remove(sequence, out Action? check);
                check!();
                finished++;
            }

            foreach ((Sequence sequence, Exception error) in harness.Executor.Failed)
            {
                Assert.Contains(Poison, sequence.Tokens);
                Assert.IsType<InferenceException>(error);
                Assert.True(open.Remove(sequence));
                failed++;
            }

            harness.CheckPages();
            Assert.Equal(open.Count, harness.Scheduler.Running.Count + harness.Scheduler.Waiting.Count);
            Assert.True(++steps < 500_000, "no progress");
        }

        output.WriteLine(
            $"{attention}: {submitted} requests: {finished} finished, {failed} failed, {left[0]} left running, {left[1]} waiting, {left[2]} all together; {steps} steps, "
            + $"{harness.Scheduler.Preemptions} preemptions, {harness.Scheduler.PrefixHitTokens} tokens shared, "
            + $"{harness.Streaming?.Returned ?? 0} streaming pages given back");
        Assert.Equal(Requests, finished + failed + left.Sum());
        harness.CheckEmpty();
        Assert.Equal(0, harness.Model.Faults);
        if (speculates)
        {
            SpeculativeStatistics statistics = harness.Speculator!.Statistics([]);
            output.WriteLine($"{statistics}");
            Assert.All([statistics.FullAcceptRounds, statistics.PartialAcceptRounds, statistics.ZeroAcceptRounds, statistics.DraftFailures], count => Assert.True(count > 0));
            Assert.Null(statistics.Stopped);
            Assert.Equal(!sparse, statistics.IsLossless);
            Assert.Equal(sparse, statistics.SparseRounds > 0 && statistics.SparseRounds < statistics.Rounds && statistics.Refreshes > 0 && statistics.RefreshedTokens > statistics.Refreshes);
            Assert.Equal(sparse, harness.Model.SparseTokens > 0);
        }

        Assert.All([finished, failed, left[0], left[1], left[2], harness.Scheduler.PrefixHitTokens], count => Assert.True(count > 0));
        Assert.Equal(harness.Attention.HasFull, harness.Scheduler.Preemptions > 0);
        Assert.Equal(harness.Attention.Streaming is not null, (harness.Streaming?.Returned ?? 0) > 0);
    }

    [Theory]
    [MemberData(nameof(Attentions))]
    public async Task The_engine_gives_every_caller_its_own_output_whoever_else_comes_cancels_or_stops_reading(string attention, int streamingPages, bool speculates, bool sparse)
    {
        ToyAttention toy = ToyAttention.Parse(attention, pageSize: 4);
        ToyModel model = new(60, 4, attention: toy, streamingPages: streamingPages) { PoisonToken = Poison - 1, Adapters = ToyModel.Named(s_adapters), KeepsPages = sparse };
        EngineOptions options = new() { MaxSequences = 12, MaxStepTokens = 24, PageSize = 4 };
        await using InferenceEngine engine = ToyModel.Engine(model, options, 60, speculator: speculates ? ToyProposer.Speculator(11, Poison - 1, Options(sparse), attention: toy) : null);
        List<IAsyncEnumerator<GenerationUpdate>> unread = [];
        int[] outcomes = new int[4];
        int next = -1;
        await Task.WhenAll(Enumerable.Range(0, 48).Select(_ => Task.Run(async () =>
        {
            for (int i = Interlocked.Increment(ref next); i < Requests; i = Interlocked.Increment(ref next))
            {
                Outcome outcome = await Call(engine, new Random(i), toy, unread);
                Interlocked.Increment(ref outcomes[(int)outcome]);
            }
        }))).WaitAsync(TimeSpan.FromMinutes(5));

        // Those whose readers stopped ran on: nobody waits for a reader.
        int forgotten = unread.Count;
        foreach (IAsyncEnumerator<GenerationUpdate> stream in unread)
        {
            await stream.DisposeAsync();
        }

        await Settled(engine);
        EngineStatistics statistics = engine.Statistics;
        output.WriteLine(
            $"{outcomes[0]} complete, {outcomes[1]} cancelled, {outcomes[2]} failed, {outcomes[3]} left by their readers, {forgotten} of them only disposed at the end; {statistics}");
        Assert.Equal((0, 0, 0, 0), (statistics.PagesUsed, statistics.StreamingPagesUsed, statistics.RequestsRunning, statistics.RequestsWaiting));
        Assert.All(outcomes, count => Assert.True(count > 0));
        Assert.True(statistics.PrefixHitTokens > 0);
        Assert.Equal(toy.Streaming is not null, statistics.StreamingPagesReturned > 0);

        // Only full pages are taken from running requests; windows are waited for, so that fewer run at once.
        Assert.True(toy.Streaming is null ? statistics.Preemptions > 0 && statistics.PeakSequences == options.MaxSequences : statistics.PeakSequences > 1);
        Assert.True(toy.HasFull || statistics.Preemptions == 0);
        Assert.Equal(outcomes[(int)Outcome.Failed], statistics.RequestsFailed);
        Assert.InRange(statistics.RequestsFinished + statistics.RequestsCancelled + statistics.RequestsFailed, Requests - outcomes[(int)Outcome.Cancelled], Requests);
    }

    [Theory]
    [InlineData(60)]
    public async Task Whoever_calls_while_the_engine_is_disposed_learns_of_it_or_gets_the_right_answer(int rounds)
    {
        int answered = 0, refused = 0;
        for (int round = 0; round < rounds; round++)
        {
            ToyModel model = new(60, 4) { Adapters = ToyModel.Named(s_adapters) };
            InferenceEngine engine = ToyModel.Engine(model, new EngineOptions { MaxSequences = 6, MaxStepTokens = 24, PageSize = 4 }, 60);
            using CountdownEvent started = new(8);
            Task[] callers = [.. Enumerable.Range(0, 8).Select(caller => Task.Run(async () =>
            {
                started.Signal();
                for (int i = 0; ; i++)
                {
                    try
                    {
                        await Call(engine, new Random((caller * 1000) + i), ToyAttention.Full, unread: null);
                        Interlocked.Increment(ref answered);
                    }
                    catch (ObjectDisposedException)
                    {
                        Interlocked.Increment(ref refused);
                        return;
                    }
                }
            }))];
            started.Wait();
            Thread.SpinWait(round * 2000);

            // From two threads and once more: each returns when everything is released.
            await Task.WhenAll(Task.Run(engine.Dispose), engine.DisposeAsync().AsTask()).WaitAsync(s_patience);
            Assert.True(model.Disposed);
            engine.Dispose();
            await Task.WhenAll(callers).WaitAsync(s_patience);
            Assert.Equal((0, 0, 0), (engine.Statistics.PagesUsed, engine.Statistics.RequestsRunning, engine.Statistics.RequestsWaiting));
        }

        output.WriteLine($"{rounds} engines: {answered} answers before, {refused} callers refused");
        Assert.Equal(8 * rounds, refused);
        Assert.True(answered > 0);
    }

    private enum Outcome
    {
        Complete,
        Cancelled,
        Failed,
        Left,
    }

    /// <summary>One random request. What it delivers is compared with the model computed without batches, pages or cancellations.</summary>
    private static async Task<Outcome> Call(InferenceEngine engine, Random random, ToyAttention attention, List<IAsyncEnumerator<GenerationUpdate>>? unread)
    {
        // Few first tokens, so that beginnings are shared; a failing one now and then where the model has one.
        int[] prompt = [random.Next(3), .. Enumerable.Range(0, random.Next(24)).Select(i => (i * 7) % 50), random.Next(60)];
        int adapter = random.Next(s_adapters.Length + 1) - 1;
        string? name = adapter < 0 ? null : s_adapters[adapter];
        bool poison = unread is not null && random.Next(50) == 0;
        if (poison)
        {
            prompt[random.Next(prompt.Length)] = Poison - 1;
        }

        using CancellationTokenSource source = new();
        if (random.Next(5) == 0)
        {
            _ = Task.Run(async () =>
            {
                for (int i = random.Next(20); i > 0; i--)
                {
                    await Task.Yield();
                }

                try
                {
                    await source.CancelAsync();
                }
                catch (ObjectDisposedException)
                {
                    // The request was done first.
                }
            });
        }

        try
        {
            switch (random.Next(5))
            {
                case 0:
                    int[] continuation = [random.Next(60), 3, 5];
                    ScoreResult score = await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = continuation, Adapter = name }, source.Token);
                    for (int i = 0; i < continuation.Length; i++)
                    {
                        float[] logits = ToyModel.Expected([.. prompt, .. continuation[..i]], adapter, attention: attention);
                        Assert.Equal(logits[continuation[i]] - Sampling.LogSoftmax.LogSumExp(logits), score.TokenLogLikelihoods[i]);
                    }

                    return Outcome.Complete;
                case 1:
                    float[] all = await engine.LogitsAsync(prompt, name, source.Token);
                    Assert.Equal(ToyModel.Expected(prompt, adapter, attention: attention), all[^ToyModel.Vocabulary..]);
                    return Outcome.Complete;
                case 2:
                    EmbeddingResult embedding = await engine.EmbedAsync(
                        new EmbeddingRequest { Ids = prompt, Pooling = EmbeddingPooling.LastToken, Normalize = false, Adapter = name }, source.Token);
                    Assert.Equal(ToyModel.ExpectedHidden(prompt, adapter, attention), embedding.Vector);
                    return Outcome.Complete;
                case 3:
                    GenerationResult result = await engine.GenerateAsync(Generation(prompt, random.Next(1, 40), name), source.Token);
                    if (engine.Statistics.IsLossless)
                    {
                        CheckGreedy(prompt, adapter, attention, result.Ids);
                    }

                    return Outcome.Complete;
                default:
                    return await Stream(engine, prompt, adapter, attention, random, unread, source.Token);
            }
        }
        catch (OperationCanceledException)
        {
            Assert.True(source.IsCancellationRequested);
            return Outcome.Cancelled;
        }
        catch (InferenceException error) when (poison)
        {
            Assert.Contains("is poison", error.Message, StringComparison.Ordinal);
            return Outcome.Failed;
        }
    }

    private static async Task<Outcome> Stream(
        InferenceEngine engine, int[] prompt, int adapter, ToyAttention attention, Random random, List<IAsyncEnumerator<GenerationUpdate>>? unread, CancellationToken cancellationToken)
    {
        int tokens = random.Next(1, 40);
        int stopAfter = random.Next(3) == 0 ? random.Next(tokens) : int.MaxValue;
        bool forget = unread is not null && random.Next(8) == 0;
        List<int> ids = [];
        GenerationRequest request = Generation(prompt, tokens, adapter < 0 ? null : s_adapters[adapter]);

        // Among requests that are verified sparsely, streams are not: what others leave in the caches must not reach them.
        request = request with { Options = request.Options with { VerifySparsely = engine.Statistics.IsLossless ? null : false } };
        IAsyncEnumerator<GenerationUpdate> stream = engine.GenerateStreamingAsync(request, cancellationToken).GetAsyncEnumerator(CancellationToken.None);
        try
        {
            while (await stream.MoveNextAsync())
            {
                if (stream.Current.FinishReason == FinishReason.Cancelled)
                {
                    Assert.True(cancellationToken.IsCancellationRequested);
                    CheckGreedy(prompt, adapter, attention, ids);
                    return Outcome.Cancelled;
                }

                ids.Add(stream.Current.Id);
                if (ids.Count > stopAfter)
                {
                    CheckGreedy(prompt, adapter, attention, ids);
                    if (forget)
                    {
                        lock (unread!)
                        {
                            unread.Add(stream);
                        }
                    }

                    return Outcome.Left;
                }
            }
        }
        finally
        {
            if (!forget || ids.Count <= stopAfter)
            {
                await stream.DisposeAsync();
            }
        }

        Assert.Equal(tokens, ids.Count);
        CheckGreedy(prompt, adapter, attention, ids);
        return Outcome.Complete;
    }

    /// <summary>Proposals as always, or with everything behind ten tokens verified sparsely and refreshed soon.</summary>
    private static SpeculativeOptions Options(bool sparse) => new()
    {
        MaxDraftTokens = 6,
        Cooldown = true,
        Verification = sparse ? new SparseVerification { Attention = new AttentionBudget { L0 = 10 }, RefreshEvery = 2 } : null,
    };

    private static GenerationRequest Generation(int[] prompt, int tokens, string? adapter) =>
        new() { PromptIds = prompt, Adapter = adapter, Options = new GenerationOptions { MaxNewTokens = tokens } };

    private static void CheckGreedy(int[] prompt, int adapter, ToyAttention attention, IReadOnlyList<int> ids)
    {
        IReadOnlyList<float[]> rows = ToyModel.ExpectedRows([.. prompt, .. ids], adapter, attention);
        for (int i = 0; i < ids.Count; i++)
        {
            float[] logits = rows[prompt.Length - 1 + i];
            Assert.Equal(Array.IndexOf(logits, logits.Max()), ids[i]);
        }
    }

    /// <summary>A stream that its reader left is dropped soon, not at once.</summary>
    private static async Task Settled(InferenceEngine engine)
    {
        DateTime limit = DateTime.UtcNow + s_patience;
        while (engine.Statistics is { RequestsRunning: > 0 } or { RequestsWaiting: > 0 } && DateTime.UtcNow < limit)
        {
            await Task.Delay(2);
        }
    }
}
