namespace LongCat.ML.Inference.Tests;

/// <summary>Cancellation, failing steps and disposal, over the toy model.</summary>
public sealed class EngineLifetimeTests
{
    private static readonly EngineOptions s_options = new() { MaxSequences = 4, MaxStepTokens = 16, PageSize = 4 };
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private static GenerationRequest Request(int first, int newTokens) =>
        new() { PromptIds = [first, 1, 2], Options = new GenerationOptions { MaxNewTokens = newTokens } };

    [Fact]
    public async Task Cancelled_requests_give_their_pages_back_and_others_go_on()
    {
        ToyModel model = new(64, 4);
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 64);
        using CancellationTokenSource running = new();
        using CancellationTokenSource waiting = new();
        model.Close();
        Task<GenerationResult> first = engine.GenerateAsync(Request(3, 200), running.Token);
        Task<GenerationResult> other = engine.GenerateAsync(Request(4, 50));
        Task<GenerationResult>[] queue = [.. Enumerable.Range(0, 6).Select(i => engine.GenerateAsync(Request(i, 100), waiting.Token))];
        await waiting.CancelAsync();
        await running.CancelAsync();
        model.Open();
        OperationCanceledException error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.WaitAsync(s_patience));
        Assert.Equal(running.Token, error.CancellationToken);
        foreach (Task<GenerationResult> task in queue)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task.WaitAsync(s_patience));
        }

        Assert.Equal(50, (await other.WaitAsync(s_patience)).Ids.Count);
        Assert.Equal((7, 1, 0), (engine.Statistics.RequestsCancelled, engine.Statistics.RequestsFinished, engine.Statistics.PagesUsed));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => engine.GenerateAsync(Request(1, 1), running.Token));
    }

    [Fact]
    public async Task A_cancelled_stream_ends_with_its_reason_and_an_abandoned_one_frees_its_pages()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), s_options, 64);
        using CancellationTokenSource source = new();
        List<GenerationUpdate> updates = [];
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(Request(5, 240), source.Token))
        {
            updates.Add(update);
            if (updates.Count == 2)
            {
                await source.CancelAsync();
            }
        }

        Assert.True(updates[^1].FinishReason is FinishReason.Cancelled or FinishReason.Length);
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(Request(6, 240)))
        {
            Assert.NotEqual(-1, update.Id);
            break;
        }

        DateTime limit = DateTime.UtcNow + s_patience;
        while (engine.Statistics.PagesUsed > 0 && DateTime.UtcNow < limit)
        {
            await Task.Delay(5);
        }

        Assert.Equal(0, engine.Statistics.PagesUsed);
    }

    [Fact]
    public async Task A_failing_step_fails_only_the_request_that_caused_it()
    {
        ToyModel model = new(64, 4) { PoisonToken = 60 };
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 64);
        model.Close();
        Task<float[]> good = engine.LogitsAsync([1, 2, 3]);
        Task<float[]> bad = engine.LogitsAsync([4, 60, 5]);
        Task<float[]> good2 = engine.LogitsAsync([7, 8]);
        model.Open();
        Assert.Equal(ToyModel.Expected([1, 2, 3]), (await good)[^ToyModel.Vocabulary..]);
        Assert.Equal(ToyModel.Expected([7, 8]), (await good2)[^ToyModel.Vocabulary..]);
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => bad);
        Assert.Contains("token 60 is poison", error.Message, StringComparison.Ordinal);
        Assert.Equal((1, 0), (engine.Statistics.RequestsFailed, engine.Statistics.PagesUsed));
        Assert.Equal(5, (await engine.GenerateAsync(Request(1, 5))).Ids.Count);
    }

    [Fact]
    public async Task Disposal_fails_what_is_pending_and_never_hangs()
    {
        ToyModel model = new(16, 4);
        InferenceEngine engine = ToyModel.Engine(model, s_options, 16);
        model.Close();
        Task<GenerationResult>[] pending = [.. Enumerable.Range(0, 8).Select(i => engine.GenerateAsync(Request(i, 30)))];
        Task<ScoreResult> score = engine.ScoreAsync(new ScoreRequest { PromptIds = [1], ContinuationIds = [2] });
        IAsyncEnumerator<GenerationUpdate> stream = engine.GenerateStreamingAsync(Request(1, 20)).GetAsyncEnumerator();
        ValueTask<bool> next = stream.MoveNextAsync();
        await engine.DisposeAsync().AsTask().WaitAsync(s_patience);
        foreach (Task task in pending.Append<Task>(score))
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => task.WaitAsync(s_patience));
        }

        await Assert.ThrowsAsync<ObjectDisposedException>(() => next.AsTask().WaitAsync(s_patience));
        await stream.DisposeAsync();
        Assert.True(model.Disposed);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => engine.GenerateAsync(Request(1, 1)));
        engine.Dispose();
        Assert.Equal(0, engine.Statistics.PagesUsed);
    }

    [Fact]
    public async Task Random_callers_that_come_cancel_and_leave_disturb_nobody()
    {
        ToyModel model = new(40, 4);
        await using InferenceEngine engine = ToyModel.Engine(model, s_options with { MaxSequences = 8 }, 40);
        Random random = new(17);
        (int First, int Tokens, int CancelAfter)[] plans = [.. Enumerable.Range(0, 400).Select(_ => (random.Next(60), random.Next(1, 60), random.Next(3) == 0 ? random.Next(20) : -1))];
        await Parallel.ForEachAsync(plans, new ParallelOptions { MaxDegreeOfParallelism = 24 }, async (plan, _) =>
        {
            using CancellationTokenSource source = new();
            int received = 0;
            List<int> ids = [];
            await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(Request(plan.First, plan.Tokens), source.Token))
            {
                if (update.Id >= 0)
                {
                    ids.Add(update.Id);
                }

                if (received++ == plan.CancelAfter)
                {
                    await source.CancelAsync();
                }
            }

            List<int> tokens = [plan.First, 1, 2];
            foreach (int id in ids)
            {
                float[] logits = ToyModel.Expected(tokens);
                Assert.Equal(Array.IndexOf(logits, logits.Max()), id);
                tokens.Add(id);
            }

            Assert.True(plan.CancelAfter >= 0 || ids.Count == plan.Tokens);
        });
        EngineStatistics statistics = engine.Statistics;
        Assert.Equal((0, 0, 0), (statistics.PagesUsed, statistics.RequestsRunning, statistics.RequestsWaiting));
        Assert.Equal(400, statistics.RequestsFinished + statistics.RequestsCancelled);
    }
}
