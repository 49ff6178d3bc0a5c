using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over ONNX Runtime and the operators, with a random LongCat-Flash-Lite.</summary>
public sealed class RealModelTests(ExportedModel model, ITestOutputHelper output) : IClassFixture<ExportedModel>
{
    private static GenerationRequest[] Requests(int count, int longest, int newTokens)
    {
        Random random = new(23);
        return [.. Enumerable.Range(0, count).Select(i => new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, random.Next(1, longest)).Select(_ => random.Next(3, 272))],
            Options = new GenerationOptions
            {
                MaxNewTokens = newTokens, IgnoreEos = true, Temperature = i % 2 == 0 ? 0 : 0.9f, TopP = 0.95f, Seed = (ulong)i,
            },
        })];
    }

    private async Task<List<IReadOnlyList<int>>> OneByOne(GenerationRequest[] requests, EngineOptions options)
    {
        List<IReadOnlyList<int>> ids = [];
        foreach (GenerationRequest request in requests)
        {
            await using InferenceEngine engine = InferenceEngine.Load(model.Folder, options);
            ids.Add((await engine.GenerateAsync(request)).Ids);
        }

        return ids;
    }

    private static async Task<IEnumerable<IReadOnlyList<int>>> Together(InferenceEngine engine, GenerationRequest[] requests) =>
        (await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids);

    [Fact]
    public async Task Eight_requests_together_equal_one_by_one()
    {
        GenerationRequest[] requests = Requests(8, 40, 24);
        List<IReadOnlyList<int>> alone = await OneByOne(requests, new EngineOptions { Threads = 1 });
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        Assert.Equal(alone, await Together(engine, requests));
        Assert.Equal(8, engine.Statistics.PeakSequences);
        output.WriteLine(engine.Statistics.ToString());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(17)]
    public async Task Prompts_in_chunks_equal_whole_prompts(int maxStepTokens)
    {
        GenerationRequest[] requests = Requests(6, 60, 12);
        List<IReadOnlyList<int>> alone = await OneByOne(requests, new EngineOptions());
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { MaxStepTokens = maxStepTokens, PageSize = 4 });
        Assert.Equal(alone, await Together(engine, requests));
    }

    [Fact]
    public async Task A_pool_too_small_for_all_preempts_and_changes_nothing()
    {
        GenerationRequest[] requests = Requests(8, 30, 60);
        List<IReadOnlyList<int>> alone = await OneByOne(requests, new EngineOptions());
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        long tokenBytes = manifest.Caches.Sum(cache => cache.Width * 4L);
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { MemoryBudgetBytes = tokenBytes * 200, PageSize = 8 });
        Assert.Equal(25, engine.Statistics.PagesTotal);
        Assert.Equal(alone, await Together(engine, requests));
        Assert.True(engine.Statistics.Preemptions > 0);
        Assert.Equal(0, engine.Statistics.PagesUsed);
        output.WriteLine(engine.Statistics.ToString());
    }

    [Fact]
    public async Task A_shared_beginning_is_computed_once_and_scores_stay_the_same()
    {
        int[] prompt = [.. Enumerable.Range(0, 70).Select(i => 3 + (i * 31 % 250))];
        int[][] choices = [.. Enumerable.Range(0, 5).Select(i => new[] { 10 + i, 20, 30 + i })];
        List<double> alone = [];
        foreach (int[] choice in choices)
        {
            await using InferenceEngine single = InferenceEngine.Load(model.Folder);
            alone.Add((await single.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = choice })).LogLikelihood);
        }

        await using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        ScoreResult[] scores = await Task.WhenAll(choices.Select(choice => engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = choice })));
        double worst = alone.Zip(scores, (expected, score) => Math.Abs(expected - score.LogLikelihood)).Max();

        // The same kernels over the same rows: only the split of the rows into steps differs. Logits are of order 1, float rounding 1e-6 of that.
        output.WriteLine($"largest difference {worst:E2}, limit 1e-5; {engine.Statistics}");
        Assert.True(worst < 1e-5);
        Assert.Equal(4 * 64, engine.Statistics.PrefixHitTokens);
    }

    [Fact]
    public async Task Logits_in_chunks_equal_logits_at_once_and_agree_with_scores()
    {
        int[] ids = [.. Enumerable.Range(0, 50).Select(i => 3 + (i * 17 % 260))];
        await using InferenceEngine whole = InferenceEngine.Load(model.Folder);
        await using InferenceEngine chunked = InferenceEngine.Load(model.Folder, new EngineOptions { MaxStepTokens = 7, PageSize = 4 });
        float[] expected = await whole.LogitsAsync(ids);
        float[] actual = await chunked.LogitsAsync(ids);
        Assert.Equal(ids.Length * whole.Manifest.VocabSize, expected.Length);
        float worst = expected.Zip(actual, (left, right) => Math.Abs(left - right)).Max();
        output.WriteLine($"largest difference {worst:E2}, limit 1e-5 (logits of order 1)");
        Assert.True(worst < 1e-5f);

        ScoreResult score = await chunked.ScoreAsync(new ScoreRequest { PromptIds = ids[..40], ContinuationIds = ids[40..] });
        for (int i = 0; i < 10; i++)
        {
            ReadOnlySpan<float> row = expected.AsSpan((39 + i) * whole.Manifest.VocabSize, whole.Manifest.VocabSize);
            Assert.Equal(row[ids[40 + i]] - LogSoftmax.LogSumExp(row), score.TokenLogLikelihoods[i], 1e-5);
        }
    }

    [Fact]
    public void Caches_are_written_in_place()
    {
        const int PageSize = 4;
        EngineOptions options = new() { PageSize = PageSize, MaxSequences = 2, MaxStepTokens = 16 };
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        EngineCapacity capacity = new(Pages: 8, PagesPerSequence: 8, LogitRows: 4);
        using OrtModelRunner runner = OrtModelRunner.Open(model.Folder, manifest, options, capacity);
        PagePool pool = new(8, PageSize);
        Scheduler scheduler = new(pool, new SchedulerLimits(2, 16, 4));
        StepExecutor executor = new(scheduler, runner, new PackedStep(16, 2, 8, PageSize, manifest.NgramNeighbors));
        int[] prompt = [5, 6, 7, 8, 9, 10];
        scheduler.Add(new GenerationSequence(prompt, new GenerationOptions(), new GenerationLimits(2, []), null, new Sampler(), new(), null, adapter: -1, default));
        for (int step = 0; step < 2; step++)
        {
            Assert.True(executor.RunStep());
            for (int cache = 0; cache < manifest.Caches.Count; cache++)
            {
                Assert.Equal(runner.CachePointer(cache), runner.CacheOutputPointer(cache));
            }
        }

        for (int cache = 0; cache < manifest.Caches.Count; cache++)
        {
            int width = manifest.Caches[cache].Width;
            bool Written(int position) => runner.CacheValues(cache).Slice(position * width, width).ContainsAnyExcept(0f);
            Assert.All(Enumerable.Range(0, prompt.Length + 1), position => Assert.True(Written(position)));
            Assert.All(Enumerable.Range(prompt.Length + 1, (8 * PageSize) - prompt.Length - 1), position => Assert.False(Written(position)));
        }
    }

    [Fact]
    public async Task Text_goes_in_and_comes_out_through_the_folders_tokenizer()
    {
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        HuggingFaceTokenizer tokenizer = engine.Tokenizer!;
        GenerationRequest text = new() { Prompt = "Gets the größte value.", Options = new GenerationOptions { MaxNewTokens = 60, IgnoreEos = true, Temperature = 1.5f, Seed = 4 } };
        GenerationResult result = await engine.GenerateAsync(text);
        GenerationResult fromIds = await engine.GenerateAsync(text with { Prompt = null, PromptIds = tokenizer.Encode(text.Prompt!) });
        Assert.Equal(fromIds.Ids, result.Ids);
        Assert.Equal(tokenizer.Decode(result.Ids, skipSpecialTokens: true), result.Text);
        string streamed = "";
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(text))
        {
            streamed += update.Text;
        }

        Assert.Equal(result.Text, streamed);
        string stop = result.Text.Substring(result.Text.Length / 2, 3);
        GenerationResult stopped = await engine.GenerateAsync(text with { Options = text.Options with { StopStrings = [stop] } });
        Assert.Equal(result.Text[..result.Text.IndexOf(stop, StringComparison.Ordinal)], stopped.Text);
        Assert.Equal(FinishReason.Stop, stopped.FinishReason);

        ScoreResult score = await engine.ScoreAsync(new ScoreRequest { Prompt = text.Prompt, Continuation = " It is." });
        IReadOnlyList<int> whole = tokenizer.Encode(text.Prompt + " It is.");
        IReadOnlyList<int> prompt = tokenizer.Encode(text.Prompt!);
        Assert.Equal(prompt, whole.Take(prompt.Count));
        ScoreResult ids = await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = [.. whole.Skip(prompt.Count)] });
        Assert.Equal(ids.LogLikelihood, score.LogLikelihood, 1e-9);
    }

    [Fact]
    public void Damaged_folders_and_impossible_budgets_are_refused()
    {
        Assert.Throws<CheckpointException>(() => InferenceEngine.Load(Path.Combine(model.Folder, "nowhere")));
        InferenceException budget = Assert.Throws<InferenceException>(() => InferenceEngine.Load(model.Folder, new EngineOptions { MemoryBudgetBytes = 100 }));
        Assert.Contains("MemoryBudgetBytes is 100", budget.Message, StringComparison.Ordinal);
        Assert.Throws<InferenceException>(() => InferenceEngine.Load(model.Folder, new EngineOptions { Device = "cuda" }));
        Assert.Throws<ArgumentOutOfRangeException>(() => InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = int.MaxValue }));
        Assert.Throws<ArgumentOutOfRangeException>(() => InferenceEngine.Load(model.Folder, new EngineOptions { MaxStepTokens = int.MaxValue }));
        InferenceException table = Assert.Throws<InferenceException>(() => EngineCapacity.Compute(
            ToyModel.Manifest(maxPositions: 1 << 20), new EngineOptions { MemoryBudgetBytes = 1L << 50, MaxSequences = 1 << 16, PageSize = 1 }));
        Assert.Contains("MaxSequences is 65536", table.Message, StringComparison.Ordinal);
        InferenceEngine.Load(model.Folder, new EngineOptions { VerifyWeights = true }).Dispose();
    }

    [Fact]
    public async Task Disposal_while_steps_run_does_not_hang_and_the_folder_loads_again()
    {
        for (int round = 0; round < 3; round++)
        {
            InferenceEngine engine = InferenceEngine.Load(model.Folder);
            Task<GenerationResult>[] tasks = [.. Requests(6, 100, 150).Select(request => engine.GenerateAsync(request))];
            await Task.Delay(20 * round);
            await engine.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
            foreach (Task<GenerationResult> task in tasks)
            {
                Exception? error = await Record.ExceptionAsync(() => task);
                Assert.True(error is null or ObjectDisposedException, error?.ToString());
            }
        }
    }

    [Fact]
    public async Task Start_up_takes_well_under_a_second()
    {
        InferenceEngine.Load(model.Folder).Dispose();
        long start = Stopwatch.GetTimestamp();
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
        output.WriteLine($"loaded in {elapsed.TotalMilliseconds:F1} ms");
        Assert.True(elapsed < TimeSpan.FromSeconds(1));
    }
}
