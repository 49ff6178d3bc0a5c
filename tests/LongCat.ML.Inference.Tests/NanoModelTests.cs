using LongCat.ML.Checkpoints;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over ONNX Runtime with longcat-nano: requests that come, cancel and stop reading in a pool that is too small change nothing for the others, bit for bit.</summary>
public sealed class NanoModelTests(NanoModel model, ITestOutputHelper output) : IClassFixture<NanoModel>
{
    private static readonly string[] s_prompts =
    [
        "List<T>.Insert(int index, T item) method\n", "List<T>.Contains(T item) method\n", "Stream.FlushAsync(CancellationToken cancellationToken) method\n",
        "String.Length property\n", "Object.Equals(object obj) method\n", "List<T>.Insert(int index, T item) method\nInserts an element",
    ];

    [Fact]
    public async Task Each_output_equals_the_one_of_the_same_request_alone()
    {
        Call[] calls = [.. Enumerable.Range(0, 30).Select(i => new Call(i, s_prompts[i % s_prompts.Length]))];
        object[] alone = new object[calls.Length];
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        await using (InferenceEngine engine = InferenceEngine.Load(model.Folder))
        {
            foreach (Call call in calls)
            {
                alone[call.Index] = await call.Run(engine, default);
            }
        }

        // Room for two of the longer requests; a third enters and is preempted when they grow.
        long tokenBytes = manifest.Caches.Sum(cache => cache.Width * 4L);
        EngineOptions options = new() { MemoryBudgetBytes = tokenBytes * 112, PageSize = 8, MaxSequences = 12, MaxStepTokens = 20, Threads = 2 };
        await using InferenceEngine shared = InferenceEngine.Load(model.Folder, options);
        int equal = 0, cancelled = 0, left = 0;
        Random order = new(5);
        Call[] rounds = [.. Enumerable.Range(0, 4).SelectMany(_ => calls.OrderBy(_ => order.Next()))];
        int next = -1;
        await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
        {
            for (int i = Interlocked.Increment(ref next); i < rounds.Length; i = Interlocked.Increment(ref next))
            {
                Call call = rounds[i];
                switch (i % 5)
                {
                    case 3:
                        using (CancellationTokenSource source = new(TimeSpan.FromMilliseconds(i % 40)))
                        {
                            try
                            {
                                Assert.Equal(alone[call.Index], await call.Run(shared, source.Token));
                                Interlocked.Increment(ref equal);
                            }
                            catch (OperationCanceledException)
                            {
                                Interlocked.Increment(ref cancelled);
                            }
                        }

                        break;
                    case 4:
                        List<int> ids = [];
                        await foreach (GenerationUpdate update in shared.GenerateStreamingAsync(call.Generation))
                        {
                            ids.Add(update.Id);
                            if (ids.Count > i % 7)
                            {
                                break;
                            }
                        }

                        Assert.True(call.Kind != 0 || ids.SequenceEqual(((IEnumerable<double>)alone[call.Index]).Take(ids.Count).Select(id => (int)id)));
                        Interlocked.Increment(ref left);
                        break;
                    default:
                        Assert.Equal(alone[call.Index], await call.Run(shared, default));
                        Interlocked.Increment(ref equal);
                        break;
                }
            }
        }))).WaitAsync(TimeSpan.FromMinutes(2));

        for (int wait = 0; wait < 2000 && shared.Statistics.RequestsRunning + shared.Statistics.RequestsWaiting > 0; wait++)
        {
            await Task.Delay(5);
        }

        output.WriteLine($"{equal} outputs equal bit for bit, {cancelled} cancelled, {left} left by their readers; {shared.Statistics}");
        Assert.Equal((0, 0, 0), (shared.Statistics.PagesUsed, shared.Statistics.RequestsRunning, shared.Statistics.RequestsWaiting));
        Assert.True(shared.Statistics.Preemptions > 0 && shared.Statistics.PrefixHitTokens > 0 && shared.Statistics.PeakSequences > 2);
        Assert.True(equal >= rounds.Length * 3 / 5);
    }

    [Fact]
    public async Task Disposal_among_callers_of_the_real_session_hangs_nobody()
    {
        for (int round = 0; round < 5; round++)
        {
            InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 4, Threads = 2 });
            Task[] callers = [.. Enumerable.Range(0, 6).Select(caller => Task.Run(async () =>
            {
                for (int i = 0; ; i++)
                {
                    await new Call(caller + i, s_prompts[(caller + i) % s_prompts.Length]).Run(engine, default);
                }
            }))];
            await Task.Delay(round * 15);
            await Task.WhenAll(Task.Run(engine.Dispose), engine.DisposeAsync().AsTask()).WaitAsync(TimeSpan.FromSeconds(60));
            foreach (Task caller in callers)
            {
                await Assert.ThrowsAsync<ObjectDisposedException>(() => caller.WaitAsync(TimeSpan.FromSeconds(60)));
            }

            Assert.Equal(0, engine.Statistics.PagesUsed);
        }
    }

    /// <summary>A request of one of five kinds; its output as numbers, to be compared bit for bit.</summary>
    private sealed record Call(int Index, string Prompt)
    {
        public int Kind => Index % 5;

        public GenerationRequest Generation => new()
        {
            Prompt = Prompt,
            Options = new GenerationOptions { MaxNewTokens = 32, LogProbabilities = -1, Temperature = Kind == 1 ? 1.1f : 0, TopP = 0.9f, Seed = (ulong)Index },
        };

        public async Task<double[]> Run(InferenceEngine engine, CancellationToken cancellationToken)
        {
            switch (Kind)
            {
                case 2:
                    return [.. (await engine.ScoreAsync(new ScoreRequest { Prompt = Prompt, Continuation = "Gets the value." }, cancellationToken)).TokenLogLikelihoods];
                case 3:
                    return [.. (await engine.LogitsAsync([.. engine.Tokenizer!.Encode(Prompt)], cancellationToken)).Select(logit => (double)logit)];
                case 4:
                    return [.. (await engine.EmbedAsync(new EmbeddingRequest { Text = Prompt }, cancellationToken)).Vector.Select(value => (double)value)];
                default:
                    GenerationResult result = await engine.GenerateAsync(Generation, cancellationToken);
                    return [.. result.Ids.Select(id => (double)id), .. result.LogProbabilities!.Select(entry => entry.LogProbability)];
            }
        }
    }
}
