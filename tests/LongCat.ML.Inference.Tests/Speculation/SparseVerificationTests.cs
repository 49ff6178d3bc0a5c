using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>
/// What the scheduler does with steps that are approximate, over the toy model, whose sparse steps leave other states than exact ones: who may read them, when they are computed again, and what
/// comes out then.
/// </summary>
public sealed class SparseVerificationTests(ITestOutputHelper output)
{
    private const int Repetition = 2;
    private static readonly EngineOptions s_options = new() { MaxSequences = 6, MaxStepTokens = 24, PageSize = 4 };
    private static readonly SparseVerification s_always = new() { FfnThreshold = 0.1f };

    [Theory]
    [InlineData(1, 24, "full", 0)]
    [InlineData(1, 5, "full", 0)]
    [InlineData(3, 24, "full", 0)]
    [InlineData(3, 7, "full", 0)]
    [InlineData(3, 7, "full 4/1/2", 80)]
    [InlineData(2, 5, "6/0/2", 80)]
    public void The_token_behind_a_refresh_is_the_exact_models_choice(int refreshEvery, int stepTokens, string attention, int streamingPages)
    {
        ToyAttention toy = ToyAttention.Parse(attention, SchedulerHarness.PageSize);
        SchedulerHarness harness = new(
            pages: 200,
            maxSequences: 4,
            maxTokens: stepTokens,
            speculator: ToyProposer.Speculator(5, options: Options(s_always with { RefreshEvery = refreshEvery }), attention: toy),
            attention: toy,
            streamingPages: streamingPages);
        Random random = new(8);
        List<GenerationSequence> requests = [];
        for (int i = 0; i < 8; i++)
        {
            requests.Add((GenerationSequence)harness.Add([.. Enumerable.Range(0, 3 + i).Select(_ => random.Next(ToyModel.Vocabulary))], 60).Sequence);
        }

        int exact = 0, refreshed = 0, most = 0;
        while (true)
        {
            int[] before = [.. requests.Select(request => request.Tokens.Count)];
            bool[] approximate = [.. requests.Select(request => request.Tokens.Count > request.PromptTokens && request.Exact < request.Tokens.Count - 1)];
            if (!harness.Executor.RunStep())
            {
                break;
            }

            foreach (Sequence finished in harness.Executor.Finished)
            {
                finished.Complete();
            }

            harness.CheckPages();
            for (int i = 0; i < requests.Count; i++)
            {
                GenerationSequence request = requests[i];
                Assert.InRange(request.Exact, 0, request.Computed);
                most = Math.Max(most, request.Computed - request.Exact);
                if (request.Speculation?.Verification is not null && request.Computed > 0 && request.Exact == request.Computed && request.Tokens.Count > before[i])
                {
                    float[] logits = ToyModel.Expected(request.Tokens.Take(before[i]), attention: toy);
                    Assert.Equal(Array.IndexOf(logits, logits.Max()), request.Tokens[before[i]]);
                    exact++;
                    refreshed += approximate[i] ? 1 : 0;
                }
            }
        }

        SpeculativeStatistics statistics = harness.Speculator!.Statistics([]);
        output.WriteLine($"{exact} exact steps, {refreshed} behind approximate ones; {statistics}");
        Assert.Equal(0, harness.Model.Faults);
        Assert.True(refreshed > 3 && statistics.SparseRounds > 10 && harness.Model.SparseTokens > 0);
        Assert.True(statistics.Refreshes >= refreshed);
        Assert.InRange(most, 1, refreshEvery * 7);
        Assert.False(statistics.IsLossless);
        harness.CheckEmpty();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task Approximate_pages_are_nobody_elses(int refreshEvery)
    {
        // A text, then the same prompt with the text's own completion behind it: all whole pages of that would be shared after exact steps.
        int[] prompt = [.. Enumerable.Range(0, 14).Select(i => (i * 7) % 50)];
        ToyModel model = new(100, 4);
        await using InferenceEngine engine = ToyModel.Engine(
            model, s_options, 100, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, options: Options(s_always with { RefreshEvery = refreshEvery }), failEvery: int.MaxValue));
        GenerationOptions options = new() { MaxNewTokens = 50, IgnoreEos = true };
        IReadOnlyList<int> approximate = (await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options })).Ids;
        Assert.True(engine.Statistics.Speculation!.SparseRounds > 5);
        Assert.False(engine.Statistics.IsLossless);

        // A page with approximate states would change what is read behind it.
        int[] whole = [.. prompt, .. approximate];
        ScoreResult score = await engine.ScoreAsync(new ScoreRequest { PromptIds = whole, ContinuationIds = [3, 4] });
        float[] row = ToyModel.Expected(whole);
        Assert.Equal(row[3] - LogSoftmax.LogSumExp(row), score.TokenLogLikelihoods[0]);
        long shared = engine.Statistics.PrefixHitTokens;
        output.WriteLine($"refresh every {refreshEvery}: {shared} of {whole.Length} tokens shared");

        // Without a refresh the pages of the prompt alone; with it also those that were computed again.
        Assert.Equal(refreshEvery == 0, shared == 12);
        Assert.InRange(shared, 12, whole.Length - 1);
        Assert.Equal(refreshEvery > 0, engine.Statistics.Speculation!.Refreshes > 0);
    }

    [Fact]
    public async Task Requests_that_are_verified_exactly_get_what_they_get_alone_among_sparse_ones()
    {
        Random random = new(3);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 60).Select(i => new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, random.Next(1, 30)).Select(k => k % 7 == 3 ? random.Next(60) : k % 7)],
            Options = new GenerationOptions
            {
                MaxNewTokens = random.Next(5, 40),
                Temperature = i % 3 == 0 ? 0.8f : 0,
                Seed = (ulong)i,
                LogProbabilities = 1,
                VerifySparsely = (i % 4) switch { 0 => null, 1 => true, _ => false },
                IgnoreEos = true,
            },
        })];
        ToyModel model = new(100, 4) { Repetition = Repetition };
        await using InferenceEngine sparse = ToyModel.Engine(
            model, s_options, 100, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, options: Options(s_always with { RefreshEvery = 3 }), repetition: Repetition));
        await using InferenceEngine plain = ToyModel.Engine(new ToyModel(100, 4) { Repetition = Repetition }, s_options, 100, ToyModel.Manifest());
        GenerationResult[] found = await Task.WhenAll(requests.Select(request => sparse.GenerateAsync(request)));
        int changed = 0;
        for (int i = 0; i < requests.Length; i++)
        {
            GenerationResult alone = await plain.GenerateAsync(requests[i] with { Options = requests[i].Options with { VerifySparsely = null } });
            bool same = alone.Ids.SequenceEqual(found[i].Ids)
                && alone.LogProbabilities!.Select(entry => entry.LogProbability).SequenceEqual(found[i].LogProbabilities!.Select(entry => entry.LogProbability));
            Assert.True(same || requests[i].Options.VerifySparsely != false, $"request {i} differs");
            changed += same ? 0 : 1;
        }

        Assert.Equal((0, 0), (model.Faults, sparse.Statistics.PagesUsed));
        Assert.True(changed > 5 && sparse.Statistics.Speculation!.SparseRounds > 20, $"{changed}");
    }

    [Fact]
    public async Task Nothing_is_sparse_while_nothing_can_be_left_out()
    {
        // A context within L0; options of which every axis is exact.
        GenerationRequest request = new() { PromptIds = [1, 2, 3], Options = new GenerationOptions { MaxNewTokens = 60, LogProbabilities = 1 } };
        await using InferenceEngine plain = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest());
        GenerationResult expected = await plain.GenerateAsync(request);
        Assert.True(plain.Statistics.IsLossless);
        foreach (SparseVerification verification in new[] { new SparseVerification { Attention = new AttentionBudget { L0 = 64 } }, new SparseVerification() })
        {
            ToyModel model = new(60, 4);
            await using InferenceEngine engine = ToyModel.Engine(model, s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, options: Options(verification)));
            GenerationResult result = await engine.GenerateAsync(request);
            Assert.Equal(expected.Ids, result.Ids);
            Assert.Equal(expected.LogProbabilities!.Select(entry => entry.LogProbability), result.LogProbabilities!.Select(entry => entry.LogProbability));
            Assert.Equal(0, model.SparseTokens);
            Assert.Equal(verification.IsLossless, engine.Statistics.IsLossless);
            Assert.Equal(verification.IsLossless, engine.Statistics.Speculation!.IsLossless);
            Assert.True(engine.Statistics.Speculation!.Rounds > 0);
            Assert.Equal((0L, 0L), (engine.Statistics.Speculation!.SparseRounds, engine.Statistics.Speculation!.Refreshes));
        }
    }

    [Fact]
    public async Task What_a_request_may_ask_for_is_said()
    {
        GenerationRequest request = new() { PromptIds = [1, 2], Options = new GenerationOptions { MaxNewTokens = 5, VerifySparsely = true } };
        await using InferenceEngine exact = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1));
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => exact.GenerateAsync(request));
        Assert.Contains("SpeculativeOptions.Verification", error.Message, StringComparison.Ordinal);
        await using InferenceEngine sparse = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, options: Options(s_always)));
        await sparse.GenerateAsync(request);
        error = await Assert.ThrowsAsync<InferenceException>(() => sparse.GenerateAsync(request with { Options = request.Options with { Speculate = false } }));
        Assert.Contains("Speculate is false", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_model_does_not_have_cannot_be_left_out()
    {
        ModelManifest manifest = ToyModel.Manifest() with { SparseVerification = new SparseVerificationLayout { MeanWidths = [0, 8], FfnLayers = 1, MoeLayers = 2, TopK = 4 } };
        Assert.NotNull(Complete(manifest.SparseVerification!, new() { Attention = new(), FfnThreshold = 0.1f, MaxSkippedExperts = 3 }));
        Refused(manifest.SparseVerification! with { FfnLayers = 0 }, new() { FfnThreshold = 0.1f }, "FfnThreshold is 0.1, and no feed-forward network of the-folder (precision F32)");
        Refused(manifest.SparseVerification! with { MeanWidths = [0, 0] }, new() { Attention = new() }, "no attention of the-folder reads its whole context");
        Refused(manifest.SparseVerification! with { MoeLayers = 0, TopK = 0 }, new() { MaxSkippedExperts = 1 }, "has no experts that could be skipped; expected 0");
        Refused(manifest.SparseVerification!, new() { MaxSkippedExperts = 4 }, "chooses 4 experts for a token; expected 0 to 3");
        Refused(null, new() { MaxSkippedExperts = 1 }, "Export the checkpoint with --sparse-verification");

        // Nothing is left out: nothing need be there.
        Assert.NotNull(Complete(null, new()));

        EngineOptions Complete(SparseVerificationLayout? layout, SparseVerification verification) => SparseSetup.Complete(
            "the-folder", manifest with { SparseVerification = layout }, new EngineOptions { Speculation = new SpeculativeOptions { Verification = verification } });

        void Refused(SparseVerificationLayout? layout, SparseVerification verification, string text) =>
            Assert.Contains(text, Assert.Throws<InferenceException>(() => Complete(layout, verification)).Message, StringComparison.Ordinal);
    }

    public static TheoryData<SparseVerification, string> Wrong => new()
    {
        { new() { FfnThreshold = -0.1f }, "FfnThreshold is -0.1" },
        { new() { FfnThreshold = float.NaN }, "FfnThreshold is NaN" },
        { new() { FfnThreshold = float.PositiveInfinity }, "FfnThreshold is" },
        { new() { MaxSkippedExperts = -1 }, "MaxSkippedExperts is -1" },
        { new() { RefreshEvery = -1 }, "RefreshEvery is -1" },
        { new() { RefreshEvery = 70000 }, "RefreshEvery is 70000" },
        { new() { Attention = new() { BlockSize = 0 } }, "AttentionBudget.BlockSize is 0" },
        { new() { Attention = new() { L0 = -1 } }, "AttentionBudget.L0 is -1" },
        { new() { Attention = new() { Rho = 1.5 } }, "AttentionBudget.Rho is 1.5" },
        { new() { Attention = new() { Rho = double.NaN } }, "AttentionBudget.Rho is NaN" },
        { new() { Attention = new() { SinkBlocks = -1 } }, "AttentionBudget.SinkBlocks is -1" },
        { new() { Attention = new() { LocalBlocks = 0 } }, "AttentionBudget.LocalBlocks is 0" },
        { new() { Attention = new() { Anchors = [0, 2, 2] } }, "AttentionBudget.Anchors is [0, 2, 2]" },
        { new() { Attention = new() { Anchors = [-1] } }, "AttentionBudget.Anchors is [-1]" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void A_value_outside_its_range_is_named(SparseVerification verification, string text) =>
        Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(() => new EngineOptions { Speculation = new SpeculativeOptions { Verification = verification } }.Check()).Message, StringComparison.Ordinal);

    private static SpeculativeOptions Options(SparseVerification verification) => new() { MaxDraftTokens = 6, Verification = verification };
}
