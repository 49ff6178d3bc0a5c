using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over a graph of standard operators gives what it gives over the longcat operators, however requests come together.</summary>
public sealed class StandardEngineTests(StandardModel model, ITestOutputHelper output) : IClassFixture<StandardModel>
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static GenerationRequest[] Requests(int count, int longest, int newTokens, int vocabulary)
    {
        Random random = new(29);
        return [.. Enumerable.Range(0, count).Select(i => new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, random.Next(1, longest)).Select(_ => random.Next(3, vocabulary))],
            Options = new GenerationOptions { MaxNewTokens = random.Next(1, newTokens), IgnoreEos = true, Temperature = i % 3 == 2 ? 0.8f : 0, TopP = 0.95f, Seed = (ulong)i },
        })];
    }

    private static async Task<IReadOnlyList<int>[]> Generate(string folder, GenerationRequest[] requests, EngineOptions? options = null)
    {
        await using InferenceEngine engine = InferenceEngine.Load(folder, options);
        return [.. (await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids)];
    }

    [Theory]
    [InlineData(512, 32)]
    [InlineData(7, 32)]
    [InlineData(33, 3)]
    public async Task Requests_of_all_lengths_together_give_the_ids_of_the_longcat_operators(int maxStepTokens, int maxSequences)
    {
        GenerationRequest[] requests = Requests(12, 60, 30, 272);
        IReadOnlyList<int>[] expected = await Generate(model.Random.LongCat, requests);
        await using InferenceEngine engine = InferenceEngine.Load(model.Random.Standard, new EngineOptions { MaxStepTokens = maxStepTokens, MaxSequences = maxSequences });

        GenerationResult[] results = await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)));

        Assert.Equal(expected, results.Select(result => result.Ids));
        Assert.Equal(maxSequences, engine.Statistics.PagesTotal);
        Assert.InRange(engine.Statistics.PeakSequences, Math.Min(maxSequences, 7), Math.Min(12, maxSequences));
        Assert.Equal((0L, 0L, 0), (engine.Statistics.Preemptions, engine.Statistics.PrefixHitTokens, engine.Statistics.PagesUsed));
    }

    [Fact]
    public async Task Longcat_nano_writes_the_same_with_both_sets_of_operators()
    {
        await using InferenceEngine longcat = InferenceEngine.Load(model.LongcatNano.LongCat);
        await using InferenceEngine standard = InferenceEngine.Load(model.LongcatNano.Standard);
        GenerationRequest[] requests =
        [
            .. ((string[])["List<T>.Insert(int index, T item) method\n", "String.Trim() method\n", "", "Gets the number of"]).Select(prompt => new GenerationRequest
            {
                Prompt = prompt, Options = new GenerationOptions { MaxNewTokens = 48 },
            }),
        ];

        string[] expected = [.. (await Task.WhenAll(requests.Select(request => longcat.GenerateAsync(request)))).Select(result => result.Text)];
        string[] actual = [.. (await Task.WhenAll(requests.Select(request => standard.GenerateAsync(request)))).Select(result => result.Text)];

        Assert.Equal(expected, actual);
        Assert.Contains(actual, text => text.Length > 20);
    }

    [Fact]
    public async Task Longcat_nano_in_four_bits_still_predicts_nearly_as_well()
    {
        int[] ids;
        await using (InferenceEngine wide = InferenceEngine.Load(model.LongcatNano.Standard))
        {
            ids = [.. (await wide.GenerateAsync(new GenerationRequest { Prompt = "String.Trim() method\n", Options = new GenerationOptions { MaxNewTokens = 60, IgnoreEos = true } })).Ids];
        }

        ScoreRequest request = new() { PromptIds = ids[..10], ContinuationIds = ids[10..] };
        await using InferenceEngine full = InferenceEngine.Load(model.LongcatNano.Standard);
        await using InferenceEngine narrow = InferenceEngine.Load(model.NanoInFourBits);
        double expected = (await full.ScoreAsync(request)).LogLikelihood / 50;
        double actual = (await narrow.ScoreAsync(request)).LogLikelihood / 50;

        // Its own greedy text is what the full model is most certain of; a wrong layout of the blocks costs several nats.
        output.WriteLine($"log-likelihood of a token: {expected:F3} in float32, {actual:F3} in four bits, limit 0.3 below");
        Assert.InRange(actual, expected - 0.3, expected + 0.3);
    }

    [Fact]
    public async Task Logits_scores_and_embeddings_are_the_same()
    {
        int[] ids = [.. Enumerable.Range(0, 50).Select(i => 3 + (i * 17 % 260))];
        await using InferenceEngine longcat = InferenceEngine.Load(model.Random.LongCat);
        await using InferenceEngine standard = InferenceEngine.Load(model.Random.Standard, new EngineOptions { MaxStepTokens = 19 });
        Task<GenerationResult> beside = standard.GenerateAsync(new GenerationRequest { PromptIds = ids[..5], Options = new GenerationOptions { MaxNewTokens = 40, IgnoreEos = true } });
        Task<float[]> logits = standard.LogitsAsync(ids);
        Task<EmbeddingResult>[] embeddings = [.. Enumerable.Range(1, 3).Select(i => standard.EmbedAsync(new EmbeddingRequest { Ids = ids[..(i * 11)] }))];
        Task<ScoreResult>[] scores = [.. Enumerable.Range(1, 3).Select(i => standard.ScoreAsync(new ScoreRequest { PromptIds = ids[..(i * 9)], ContinuationIds = ids[(i * 9)..(i * 13)] }))];

        double worst = (await longcat.LogitsAsync(ids)).Zip(await logits, (x, y) => Math.Abs(x - y)).Max();
        for (int i = 1; i <= 3; i++)
        {
            ScoreResult score = await longcat.ScoreAsync(new ScoreRequest { PromptIds = ids[..(i * 9)], ContinuationIds = ids[(i * 9)..(i * 13)] });
            worst = Math.Max(worst, score.TokenLogLikelihoods.Zip((await scores[i - 1]).TokenLogLikelihoods, (x, y) => Math.Abs(x - y)).Max());
            EmbeddingResult embedding = await longcat.EmbedAsync(new EmbeddingRequest { Ids = ids[..(i * 11)] });
            worst = Math.Max(worst, embedding.Vector.Zip((await embeddings[i - 1]).Vector, (x, y) => Math.Abs(x - y)).Max());
        }

        // Different kernels over the same float32 weights; logits reach about 4, so this is rounding.
        output.WriteLine($"largest difference {worst:E2}, limit 5e-5");
        Assert.True(worst <= 5e-5);
        Assert.Equal(40, (await beside).Ids.Count);
    }

    [Fact]
    public async Task Cancelled_requests_give_their_slots_back_and_others_go_on()
    {
        await using InferenceEngine engine = InferenceEngine.Load(model.Random.Standard, new EngineOptions { MaxSequences = 4 });
        GenerationRequest[] requests = Requests(6, 30, 60, 272);
        IReadOnlyList<int>[] expected = await Generate(model.Random.Standard, requests);
        using CancellationTokenSource source = new();
        GenerationRequest endless = new() { PromptIds = [5, 6, 7], Options = new GenerationOptions { MaxNewTokens = 200, IgnoreEos = true } };
        Task<GenerationResult>[] cancelled = [.. Enumerable.Range(0, 3).Select(_ => engine.GenerateAsync(endless, source.Token))];
        Task<GenerationResult>[] others = [.. requests.Select(request => engine.GenerateAsync(request))];
        await others[0].WaitAsync(s_patience);
        await source.CancelAsync();
        Assert.Equal(expected, (await Task.WhenAll(others).WaitAsync(s_patience)).Select(result => result.Ids));
        foreach (Task<GenerationResult> task in cancelled)
        {
            Exception? error = await Record.ExceptionAsync(() => task.WaitAsync(s_patience));
            Assert.True(error is null or OperationCanceledException, error?.ToString());
        }

        Assert.Equal(0, engine.Statistics.PagesUsed);
    }

    [Fact]
    public async Task A_request_longer_than_a_slot_is_refused_and_the_longest_one_fits()
    {
        ModelManifest manifest = ModelManifest.Read(model.Random.Standard);
        long tokenBytes = manifest.Caches.Sum(cache => cache.Width * 4L);
        EngineOptions options = new() { MaxSequences = 4, MemoryBudgetBytes = tokenBytes * 4 * 50 };
        await using InferenceEngine engine = InferenceEngine.Load(model.Random.Standard, options);
        GenerationRequest Of(int prompt, int newTokens) => new()
        {
            PromptIds = [.. Enumerable.Range(0, prompt).Select(i => 3 + i)], Options = new GenerationOptions { MaxNewTokens = newTokens, IgnoreEos = true },
        };

        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => engine.GenerateAsync(Of(40, 12)));
        Assert.Contains("needs 51 tokens of cache; each of the 4 sequences", error.Message, StringComparison.Ordinal);
        GenerationRequest[] fitting = [Of(40, 11), Of(50, 1), Of(1, 50), Of(49, 2), Of(47, 4)];
        IReadOnlyList<int>[] expected = await Generate(model.Random.LongCat, fitting);
        Assert.Equal(expected, (await Task.WhenAll(fitting.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids));
        Assert.Throws<InferenceException>(() => InferenceEngine.Load(model.Random.Standard, options with { MemoryBudgetBytes = tokenBytes }));
    }

    [Fact]
    public void Caches_are_written_in_place_and_follow_their_sequences_from_slot_to_slot()
    {
        ModelManifest manifest = ModelManifest.Read(model.Random.Standard);
        EngineOptions options = new() { PageSize = 32, MaxSequences = 4, MaxStepTokens = 16 };
        using PaddedModelRunner runner = PaddedModelRunner.Open(model.Random.Standard, manifest, options, new EngineCapacity(4, 1, 16));
        Scheduler scheduler = new(new PagePool(4, 32), new SchedulerLimits(4, 16, 16));
        StepExecutor executor = new(scheduler, runner, new PackedStep(16, 4, 1, 32, manifest.NgramNeighbors));

        // The one between the others ends first: then the rest lie apart.
        int[] lengths = [12, 3, 12];
        foreach (int length in lengths)
        {
            scheduler.Add(new GenerationSequence([5, 6 + length, 7], new GenerationOptions(), new GenerationLimits(length, []), null, new Sampler(), new(), null, adapter: -1, default));
        }

        List<Sequence> sequences = [];
        for (int step = 0; executor.RunStep(); step++)
        {
            sequences = step == 0 ? [.. scheduler.Running] : sequences;
            foreach (Sequence sequence in scheduler.Running)
            {
                int width = manifest.Caches[0].Width;
                for (int cache = 0; cache < manifest.Caches.Count; cache++)
                {
                    ReadOnlySpan<float> content = runner.Caches.Content(cache, sequence.Pages[0]);
                    for (int position = 0; position < 32; position++)
                    {
                        Assert.Equal(position < sequence.Computed, content.Slice(position * width, width).ContainsAnyExcept(0f));
                    }
                }
            }
        }

        Assert.Equal(1, runner.Caches.Exchanges);
        Assert.Equal([15, 6, 15], sequences.Select(sequence => sequence.Tokens.Count));
    }

    [Fact]
    public async Task Disposal_while_steps_run_does_not_hang()
    {
        InferenceEngine engine = InferenceEngine.Load(model.Random.Standard);
        Task<GenerationResult>[] tasks = [.. Requests(6, 100, 150, 272).Select(request => engine.GenerateAsync(request))];
        await Task.Delay(20);
        await engine.DisposeAsync().AsTask().WaitAsync(s_patience);
        foreach (Task<GenerationResult> task in tasks)
        {
            Exception? error = await Record.ExceptionAsync(() => task);
            Assert.True(error is null or ObjectDisposedException, error?.ToString());
        }
    }
}
