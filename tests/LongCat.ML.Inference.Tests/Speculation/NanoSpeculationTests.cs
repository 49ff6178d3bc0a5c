using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>Speculation over the real session with longcat-nano: the same tokens, texts and log-probabilities, bit for bit, in batches and in a pool that is too small.</summary>
public sealed class NanoSpeculationTests(NanoDraftModel model, ITestOutputHelper output) : IClassFixture<NanoDraftModel>
{
    private static readonly string[] s_prompts =
    [
        "List<T>.Insert(int index, T item) method\n", "List<T>.Contains(T item) method\n", "Stream.FlushAsync(CancellationToken cancellationToken) method\n",
        "String.Length property\n", "Object.Equals(object obj) method\n", "List<T>.Insert(int index, T item) method\nInserts an element",
    ];

    [Theory]
    [InlineData(SpeculativeProposer.PromptLookup, 4, false)]
    [InlineData(SpeculativeProposer.PromptLookup, 8, true)]
    [InlineData(SpeculativeProposer.Mtp, 1, false)]
    [InlineData(SpeculativeProposer.Mtp, 4, true)]
    [InlineData(SpeculativeProposer.DraftModel, 4, true)]
    public async Task Outputs_are_those_of_the_same_requests_without_speculation(SpeculativeProposer proposer, int width, bool tight)
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 36).Select(i => new GenerationRequest
        {
            Prompt = s_prompts[i % s_prompts.Length],
            Options = new GenerationOptions
            {
                MaxNewTokens = 12 + i,
                Temperature = (i / 6 % 3) switch { 0 => 0, 1 => 0.5f, _ => 1.2f },
                TopP = i % 2 == 0 ? 0.9f : 1,
                Seed = (ulong)i,
                LogProbabilities = 1,
                RepetitionPenalty = i % 5 == 0 ? 1.2f : 1,
                FrequencyPenalty = i % 7 == 0 ? 0.3f : 0,
                IgnoreEos = i % 4 == 0,
                StopStrings = i % 9 == 5 ? [".\n"] : [],
            },
        })];
        List<string> plain;
        await using (InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 1, Threads = 2 }))
        {
            plain = await Run(engine, requests);
        }

        SpeculativeOptions speculation = new()
        {
            Proposer = proposer,
            MaxDraftTokens = width,
            NGramChainedLookup = tight,
            DraftFolder = proposer == SpeculativeProposer.DraftModel ? model.Folder : null,
        };
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        long tokenBytes = 4 * (manifest.Caches.Sum(cache => cache.Width) + (proposer switch
        {
            SpeculativeProposer.Mtp => manifest.DraftCaches!.Sum(cache => cache.Width),
            SpeculativeProposer.DraftModel => manifest.Caches.Sum(cache => cache.Width),
            _ => 0,
        }));
        EngineOptions options = new() { Threads = 2, PageSize = 8, MaxSequences = 8, MaxStepTokens = tight ? 24 : 512, Speculation = speculation };
        options = tight ? options with { MemoryBudgetBytes = tokenBytes * 160 } : options;
        await using InferenceEngine shared = InferenceEngine.Load(model.Folder, options);
        Assert.Equal(plain, await Run(shared, requests));
        SpeculativeStatistics statistics = shared.Statistics.Speculation!;
        output.WriteLine($"{proposer}, {width}: acceptance {statistics.AcceptanceRate:F3}, {statistics.MeanEmittedTokensPerRound:F2} tokens a round; {shared.Statistics}; {string.Join(' ', statistics.AcceptanceLengthHistogram)}");
        Assert.Equal((0L, null, 0L, 0), (statistics.DraftFailures, statistics.Stopped, shared.Statistics.RequestsFailed, shared.Statistics.PagesUsed));
        Assert.True(statistics.Rounds > 0 && statistics.DraftTokensAccepted > 0);
        Assert.True(!tight || (shared.Statistics.Preemptions > 0 && shared.Statistics.PagesTotal == 20));
        if (proposer == SpeculativeProposer.DraftModel)
        {
            // The model as its own draft computes the same logits and draws with the same numbers; only what a constraint forbids is proposed in vain.
            Assert.True(statistics.AcceptanceRate > 0.9, $"{statistics.AcceptanceRate}");
        }
        else if (proposer == SpeculativeProposer.Mtp)
        {
            Assert.True(statistics.AcceptanceRate > 0.3, $"{statistics.AcceptanceRate}");
        }
    }

    [Fact]
    public void What_is_asked_for_and_not_there_is_named_when_the_engine_is_loaded()
    {
        using TemporaryFolder folder = new();
        string random = Onnx.OnnxExporter.Export(
            RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Layers = 2, Tokenizer = true }), folder["random"], new Onnx.ExportOptions { IncludeDraft = false }).Folder;
        Refused<InferenceException>(random, new() { Proposer = SpeculativeProposer.Mtp }, "holds no draft.onnx");
        Refused<InferenceException>(model.Folder, new() { Proposer = SpeculativeProposer.DraftModel, DraftFolder = random }, "another tokenizer");
        Refused<CheckpointException>(model.Folder, new() { Proposer = SpeculativeProposer.DraftModel, DraftFolder = folder["nowhere"] }, "does not exist");
        Refused<ArgumentException>(model.Folder, new() { MaxDraftTokens = 20 }, "MaxDraftTokens is 20");
        Refused<InferenceException>(model.Folder, new() { Verification = new() { MaxSkippedExperts = 1 } }, "Export the checkpoint with --sparse-verification");

        void Refused<T>(string of, SpeculativeOptions speculation, string text)
            where T : Exception =>
            Assert.Contains(text, Assert.ThrowsAny<T>(() => InferenceEngine.Load(of, new EngineOptions { Speculation = speculation })).Message, StringComparison.Ordinal);
    }

    private static async Task<List<string>> Run(InferenceEngine engine, GenerationRequest[] requests) => [.. await Task.WhenAll(requests.Select(async (request, i) =>
    {
        if (i % 12 == 11)
        {
            return string.Join(' ', (await engine.ScoreAsync(new ScoreRequest { Prompt = request.Prompt, Continuation = "Gets the value." })).TokenLogLikelihoods);
        }

        // What a constraint allows depends on all tokens before: on the accepted ones, not on proposals.
        OutputConstraint? constraint = i % 12 == 7 ? OutputConstraint.Json(engine.Tokenizer!) : null;
        GenerationResult result = await engine.GenerateAsync(request with { Options = request.Options with { Constraint = constraint, StopStrings = constraint is null ? request.Options.StopStrings : [] } });
        return $"{string.Join(' ', result.Ids)} '{result.Text}' {result.FinishReason} {string.Join(' ', result.LogProbabilities!.Select(entry => $"{entry.LogProbability:R} {entry.Alternatives[0]}"))}";
    }))];
}
