using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>Sparse verification over the real session with longcat-nano: exact where nothing can be left out, harmless to others where something is, and exact again behind a refresh.</summary>
public sealed class NanoSparseVerificationTests(NanoSparseModel model, ITestOutputHelper output) : IClassFixture<NanoSparseModel>
{
    private const string Text = "List<T>.Insert(int index, T item) method\nInserts an element into the List<T> at the specified index.\nList<T>.Contains(T item) method\nDetermines whether an element is in the List<T>.\n";

    private static readonly SparseVerification s_sparse = new()
    {
        Attention = new AttentionBudget { BlockSize = 16, L0 = 32, Rho = 0.25, LocalBlocks = 2 }, FfnThreshold = 0.05f, MaxSkippedExperts = 1, RefreshEvery = 4,
    };

    [Theory]
    [InlineData(SpeculativeProposer.Mtp, false)]
    [InlineData(SpeculativeProposer.PromptLookup, true)]
    public async Task With_budgets_that_cover_everything_every_bit_is_that_of_exact_verification(SpeculativeProposer proposer, bool tight)
    {
        // Through the sparse paths: all blocks of a budget of everything, no channel below the least float, no expert whose share is below 0.
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        SparseVerificationLayout layout = manifest.SparseVerification!;
        SparseVerification everything = new()
        {
            Attention = new AttentionBudget { BlockSize = 16, L0 = 0, Rho = 1 },
            FfnThreshold = float.Epsilon,
            MaxSkippedExperts = 1,
            RefreshEvery = 3,
            Calibration = new SparseCalibration
            {
                ContentHash = manifest.ContentHash,
                Tokens = 0,
                Choices = 0,
                Anchors = [0],
                AnchorThreshold = 1,
                Similarity = [.. Enumerable.Repeat(1.0, layout.Attentions)],
                ExpertShares = [.. Enumerable.Range(0, layout.MoeLayers).Select(_ => new float[layout.TopK - 1])],
                Thresholds = [],
                Activity = [],
            },
        };
        GenerationRequest[] requests = Requests(24, _ => null);
        await using InferenceEngine exact = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 1, Threads = 2 });
        await using InferenceEngine sparse = InferenceEngine.Load(model.Folder, new EngineOptions
        {
            Threads = 2,
            MaxSequences = 6,
            MaxStepTokens = tight ? 24 : 512,
            Speculation = new SpeculativeOptions { Proposer = proposer, NGramSize = 2, Verification = everything },
        });
        Assert.Equal(await Run(exact, requests), await Run(sparse, requests));
        SpeculativeStatistics statistics = sparse.Statistics.Speculation!;
        output.WriteLine($"{statistics}");
        Assert.True(statistics.SparseRounds > 20 && statistics.SparseRounds == statistics.Rounds && statistics.Refreshes > 5);
        Assert.False(sparse.Statistics.IsLossless);
        Assert.Equal((0L, 0), (sparse.Statistics.RequestsFailed, sparse.Statistics.PagesUsed));
    }

    [Fact]
    public async Task Batches_of_sparse_and_exact_requests_leave_the_exact_ones_alone()
    {
        GenerationRequest[] requests = Requests(36, i => (i % 3) switch { 0 => null, 1 => true, _ => false });
        await using InferenceEngine exact = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 1, Threads = 2 });
        long tokenBytes = 4 * (exact.Manifest.Caches.Sum(cache => cache.Width) + exact.Manifest.DraftCaches!.Sum(cache => cache.Width));
        tokenBytes += (exact.Manifest.SparseVerification!.MeanBytesPerPage + 15) / 16;
        await using InferenceEngine sparse = InferenceEngine.Load(model.Folder, new EngineOptions
        {
            Threads = 2,
            MaxSequences = 8,
            MaxStepTokens = 40,
            MemoryBudgetBytes = tokenBytes * 512,
            Speculation = new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, Verification = s_sparse },
        });
        List<string> expected = await Run(exact, requests.Select(request => request with { Options = request.Options with { VerifySparsely = null } }).ToArray()), found = await Run(sparse, requests);
        int changed = 0;
        for (int i = 0; i < requests.Length; i++)
        {
            Assert.True(expected[i] == found[i] || i % 3 != 2, $"request {i}:\n{expected[i]}\n{found[i]}");
            changed += expected[i] == found[i] ? 0 : 1;
        }

        SpeculativeStatistics statistics = sparse.Statistics.Speculation!;
        output.WriteLine($"{changed} changed; {statistics}; {sparse.Statistics}");
        Assert.True(changed > 3 && statistics.SparseRounds > 20 && statistics.SparseRounds < statistics.Rounds && statistics.Refreshes > 3);
        Assert.Equal((0L, null, 0L, 0), (statistics.DraftFailures, statistics.Stopped, sparse.Statistics.RequestsFailed, sparse.Statistics.PagesUsed));

        // What they left in the pages is whole: a text that begins with a sparse completion has its exact score.
        GenerationResult completion = await sparse.GenerateAsync(new GenerationRequest { Prompt = Text, Options = new GenerationOptions { MaxNewTokens = 60, IgnoreEos = true } });
        long before = sparse.Statistics.PrefixHitTokens;
        int[] whole = [.. sparse.Tokenizer!.Encode(Text), .. completion.Ids];
        ScoreRequest score = new() { PromptIds = whole, ContinuationIds = [5, 6, 7] };
        Assert.Equal((await exact.ScoreAsync(score)).TokenLogLikelihoods, (await sparse.ScoreAsync(score)).TokenLogLikelihoods);
        long shared = sparse.Statistics.PrefixHitTokens - before;
        output.WriteLine($"{shared} of {whole.Length} tokens shared");
        Assert.InRange(shared, 16, whole.Length);
    }

    [Theory]
    [InlineData(1, 512)]
    [InlineData(3, 20)]
    public async Task The_token_behind_a_refresh_is_the_exact_models(int refreshEvery, int stepTokens)
    {
        const int Pages = 64, PageSize = 16;
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        SpeculativeOptions speculation = new() { NGramSize = 2, Verification = s_sparse with { RefreshEvery = refreshEvery } };
        EngineOptions options = new() { MaxSequences = 2, MaxStepTokens = stepTokens, Threads = 2, PageSize = PageSize, Speculation = speculation };
        using OrtModelRunner runner = OrtModelRunner.Open(model.Folder, manifest, options, new EngineCapacity(Pages, Pages, 20));
        SpeculativeCounters counters = new();
        using Speculator speculator = new(new PromptLookupProposer(speculation, counters), speculation, counters);
        Scheduler scheduler = new(new PagePool(Pages, PageSize), new SchedulerLimits(2, stepTokens, 20)) { Speculator = speculator };
        StepExecutor executor = new(scheduler, runner, new PackedStep(stepTokens, 2, Pages, PageSize, manifest.NgramNeighbors));
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(Path.Combine(model.Folder, "tokenizer.json"));
        GenerationSequence request = new(
            tokenizer.Encode(Text), new GenerationOptions { MaxNewTokens = 60, IgnoreEos = true }, new GenerationLimits(60, []), null, new Sampler(), new TaskCompletionSource<GenerationResult>(), null, -1, default)
        {
            Speculation = speculator.NewState(),
        };
        scheduler.Add(request);
        await using InferenceEngine exact = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 1, Threads = 2 });
        int behind = 0;
        for (int before = request.Tokens.Count, start = request.Exact; executor.RunStep(); before = request.Tokens.Count, start = request.Exact)
        {
            if (request.Tokens.Count > before && start < before - 1 && before > request.PromptTokens && (executor.Finished.Count > 0 || request.Exact == request.Computed))
            {
                GenerationResult next = await exact.GenerateAsync(new GenerationRequest { PromptIds = [.. request.Tokens.Take(before)], Options = new GenerationOptions { MaxNewTokens = 1, IgnoreEos = true } });
                if (executor.Finished.Count == 0)
                {
                    Assert.Equal(next.Ids[0], request.Tokens[before]);
                    behind++;
                }
            }
        }

        SpeculativeStatistics statistics = speculator.Statistics([]);
        output.WriteLine($"{behind} tokens behind a refresh; {statistics}");
        Assert.Empty(executor.Failed);
        Assert.True(behind > 2 && statistics.SparseRounds > 2 && statistics.Refreshes >= behind, $"{behind} of {statistics.Refreshes} refreshes");
    }

    [Fact]
    public async Task What_does_not_go_with_the_model_is_named_when_the_engine_is_loaded()
    {
        Refused(new() { Attention = new() { BlockSize = 24 } }, "BlockSize is 24 and EngineOptions.PageSize is 16");
        Refused(new() { Attention = new() { Anchors = [0, 4] } }, "Anchors names attention 4");
        Refused(new() { MaxSkippedExperts = 3 }, "chooses 3 experts for a token; expected 0 to 2");
        string path = Path.Combine(model.Folder, SparseCalibration.FileName);
        SparseCalibration measured = SparseCalibrator.Measure(model.Folder, [[.. Enumerable.Range(100, 400)]], new SparseCalibrationOptions { Attention = new() { BlockSize = 16 }, Stride = 32 });
        Assert.True(measured.Choices > 0 && measured.Anchors.Count > 0 && measured.Activity.Count > 0);
        Assert.All(measured.ExpertShares, shares => Assert.True(shares[0] > 0 && shares[0] < 0.5 && shares[0] < shares[1]));
        output.WriteLine($"anchors {string.Join(' ', measured.Anchors)}, similarity {string.Join(' ', measured.Similarity)}; {string.Join(' ', measured.ExpertShares.SelectMany(share => share))}; {string.Join(' ', measured.Activity.Select(network => $"{network.Network} {string.Join(' ', network.Below)}"))}");
        Refused(new() { MaxSkippedExperts = 1, Calibration = measured with { ContentHash = "other" } }, "measured on another model");
        Refused(new() { MaxSkippedExperts = 1, Calibration = measured with { ExpertShares = [] } }, "Run longcat calibrate-sparse");
        try
        {
            // The folder's own calibration is read where none is given.
            (measured with { ContentHash = "other" }).Save(path);
            Refused(new() { FfnThreshold = 0.1f }, path);
            File.WriteAllText(path, "{}");
            Assert.Contains(path, Assert.Throws<CheckpointException>(() => Load(new() { FfnThreshold = 0.1f })).Message, StringComparison.Ordinal);
            measured.Save(path);
            await Load(s_sparse).DisposeAsync();
        }
        finally
        {
            File.Delete(path);
        }

        InferenceEngine Load(SparseVerification verification) => InferenceEngine.Load(model.Folder, new EngineOptions { Speculation = new SpeculativeOptions { Verification = verification } });

        void Refused(SparseVerification verification, string text) =>
            Assert.Contains(text, Assert.ThrowsAny<InferenceException>(() => Load(verification)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_comparison_says_what_is_lost()
    {
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(Path.Combine(model.Folder, "tokenizer.json"));
        int[] ids = [.. Enumerable.Repeat(Text, 6).SelectMany(text => tokenizer.Encode(text))];
        SparseVerification everything = new() { Attention = new() { BlockSize = 16, L0 = 0, Rho = 1 } }, little = new() { Attention = new() { BlockSize = 16, L0 = 0, Rho = 0, LocalBlocks = 1, SinkBlocks = 0 } };
        IReadOnlyList<SparseComparison> found = SparseEvaluator.Compare(
            model.Folder, [ids], [everything, little, new() { FfnThreshold = 10 }, s_sparse], new SparseEvaluationOptions { First = 100, Stride = 40, Threads = 2 });
        foreach (SparseComparison comparison in found)
        {
            output.WriteLine($"{comparison}");
        }

        Assert.Equal((1, 0, 5), (found[0].ArgmaxAgreement, found[0].KlDivergence, found[0].AcceptanceLength));
        Assert.Equal(found[0].ExactPerplexity, found[0].Perplexity);
        Assert.All(found, comparison => Assert.True(comparison.Rounds > 6 && comparison.Milliseconds > 0 && comparison.ExactMilliseconds > 0));
        Assert.All(found.Skip(1), comparison => Assert.True(comparison.KlDivergence > 0));
        Assert.True(found[2].KlDivergence > found[3].KlDivergence && found[2].AcceptanceLength < 5);
        Assert.Contains("needs 106", Assert.Throws<ArgumentException>(() => SparseEvaluator.Compare(model.Folder, [[1, 2, 3]], [s_sparse], new SparseEvaluationOptions { First = 100 })).Message, StringComparison.Ordinal);
    }

    private static GenerationRequest[] Requests(int count, Func<int, bool?> sparse) => [.. Enumerable.Range(0, count).Select(i => new GenerationRequest
    {
        Prompt = i % 2 == 0 ? Text : Text[(i * 3)..],
        Options = new GenerationOptions
        {
            MaxNewTokens = 12 + i,
            Temperature = (i / 6 % 3) switch { 0 => 0, 1 => 0.5f, _ => 1.2f },
            Seed = (ulong)i,
            LogProbabilities = 1,
            IgnoreEos = i % 4 != 0,
            VerifySparsely = sparse(i),
        },
    })];

    private static async Task<List<string>> Run(InferenceEngine engine, GenerationRequest[] requests) => [.. await Task.WhenAll(requests.Select(async (request, i) =>
    {
        if (i % 12 == 11)
        {
            return string.Join(' ', (await engine.ScoreAsync(new ScoreRequest { Prompt = request.Prompt, Continuation = "Gets the value." })).TokenLogLikelihoods);
        }

        GenerationResult result = await engine.GenerateAsync(request);
        return $"{string.Join(' ', result.Ids)} '{result.Text}' {result.FinishReason} {string.Join(' ', result.LogProbabilities!.Select(entry => $"{entry.LogProbability:R} {entry.Alternatives[0]}"))}";
    }))];
}
