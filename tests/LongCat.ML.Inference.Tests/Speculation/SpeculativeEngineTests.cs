using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>The engine over the toy model, with and without proposals: every part of every result is the same.</summary>
public sealed class SpeculativeEngineTests(ITestOutputHelper output)
{
    private const int Repetition = 2;
    private static readonly EngineOptions s_options = new() { MaxSequences = 6, MaxStepTokens = 24, PageSize = 4 };

    [Theory]
    [InlineData(SpeculativeProposer.PromptLookup, 60)]
    [InlineData(SpeculativeProposer.PromptLookup, 20)]
    [InlineData(null, 60)]
    [InlineData(null, 20)]
    public async Task Everything_a_request_gives_is_what_it_gives_without_proposals(SpeculativeProposer? proposer, int pages)
    {
        Random random = new(5);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 150).Select(_ => Random(random, pages))];
        List<string> plain = await Run(requests, pages, null);
        Func<Sampler, Speculator> speculator = proposer is null ? ToyProposer.Speculator(3, repetition: Repetition) : Lookup(new SpeculativeOptions { NGramSize = Repetition + 1, MinAdaptiveK = 2, Cooldown = true });
        ToyModel model = new(pages, 4) { Repetition = Repetition };
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, pages, ToyModel.Manifest(eos: [3, 9]), new ToyCodec(), speculator);
        Assert.Equal(plain, await Run(requests, engine));
        SpeculativeStatistics statistics = engine.Statistics.Speculation!;
        output.WriteLine($"{engine.Statistics}");
        Assert.Equal(0, model.Faults);
        Assert.Null(statistics.Stopped);
        Assert.All(
            [statistics.Rounds, statistics.FullAcceptRounds, statistics.ZeroAcceptRounds, statistics.BonusTokens, statistics.CorrectionTokens, statistics.StandardFallbackSteps],
            count => Assert.True(count > 0));
        Assert.Equal(statistics.Rounds, statistics.FullAcceptRounds + statistics.PartialAcceptRounds + statistics.ZeroAcceptRounds);
        Assert.Equal(statistics.Rounds, statistics.AcceptanceLengthHistogram.Sum());
        Assert.True(statistics.TokensEmitted <= engine.Statistics.GeneratedTokens);
        Assert.True(pages > 20 || engine.Statistics.Preemptions > 0);
        Assert.Equal((0, 0), (engine.Statistics.PagesUsed, engine.Statistics.RequestsRunning));
    }

    [Fact]
    public async Task Draws_with_proposals_have_the_models_distribution()
    {
        // All of 4 x 4 x 4 continuations of one prompt, against the product of the model's own probabilities. The second and third token are proposed ones.
        const int Trials = 20_000;
        int[] prompt = [1, 2, 3];
        GenerationOptions options = new() { MaxNewTokens = 3, Temperature = 1.5f, TopK = 4 };
        ToyModel model = new(60, 4);
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, failEvery: int.MaxValue));
        Dictionary<(int, int, int), int> seen = [];
        foreach (int[] chunk in Enumerable.Range(0, Trials).Chunk(100))
        {
            GenerationResult[] results = await Task.WhenAll(chunk.Select(seed => engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options with { Seed = (ulong)seed } })));
            foreach (GenerationResult result in results)
            {
                (int, int, int) key = (result.Ids[0], result.Ids[1], result.Ids[2]);
                seen[key] = seen.GetValueOrDefault(key) + 1;
            }
        }

        double chiSquare = 0;
        int cells = 0;
        int counted = 0;
        foreach ((int first, double p1) in Probabilities(prompt, options))
        {
            foreach ((int second, double p2) in Probabilities([.. prompt, first], options))
            {
                foreach ((int third, double p3) in Probabilities([.. prompt, first, second], options))
                {
                    double expected = Trials * p1 * p2 * p3;
                    int actual = seen.GetValueOrDefault((first, second, third));
                    chiSquare += (actual - expected) * (actual - expected) / expected;
                    counted += actual;
                    cells++;
                    Assert.True(expected > 5, "a cell of a chi-square test needs more");
                }
            }
        }

        SpeculativeStatistics statistics = engine.Statistics.Speculation!;
        output.WriteLine($"chi-square {chiSquare:F1} over {cells} cells; acceptance {statistics.AcceptanceRate:F3}, {statistics}");
        Assert.Equal((64, Trials), (cells, counted));
        Assert.True(statistics.DraftTokensAccepted > Trials / 4 && statistics.CorrectionTokens > Trials / 10);

        // 63 degrees of freedom: a fair sampler exceeds 103.4 once in a thousand times; the seeds are fixed.
        Assert.True(chiSquare < 103.4, $"chi-square {chiSquare}");
    }

    [Fact]
    public async Task A_proposer_that_only_fails_is_left_out_and_nobody_notices()
    {
        ToyModel model = new(60, 4);
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1, failEvery: 1));
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest { PromptIds = [1, 2], Options = new GenerationOptions { MaxNewTokens = 20 } });
        await using InferenceEngine plain = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest());
        Assert.Equal((await plain.GenerateAsync(new GenerationRequest { PromptIds = [1, 2], Options = new GenerationOptions { MaxNewTokens = 20 } })).Ids, result.Ids);
        SpeculativeStatistics statistics = engine.Statistics.Speculation!;
        Assert.Contains("the last time: the toy proposer fails", statistics.Stopped, StringComparison.Ordinal);
        Assert.Equal((3, 0), (statistics.DraftFailures, statistics.Rounds));
    }

    [Fact]
    public async Task A_proposed_token_that_fails_the_step_fails_no_request()
    {
        // Every proposal begins with the poison; the step fails, and the request goes on without it.
        GenerationRequest request = new() { PromptIds = [1, 5, 7, 1], Options = new GenerationOptions { MaxNewTokens = 12 } };
        await using InferenceEngine plain = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest());
        ToyModel model = new(60, 4) { PoisonToken = ToyModel.Vocabulary - 1 };
        await using InferenceEngine poisoned = ToyModel.Engine(
            model, s_options, 60, ToyModel.Manifest(), speculator: _ => new Speculator(new PoisonProposer(), new SpeculativeOptions(), new SpeculativeCounters()));
        Assert.Equal((await plain.GenerateAsync(request)).Ids, (await poisoned.GenerateAsync(request)).Ids);
        Assert.Equal((0, 0L, 0L), (model.Faults, poisoned.Statistics.RequestsFailed, poisoned.Statistics.Speculation!.Rounds));
    }

    [Fact]
    public async Task A_request_may_stay_out_of_it_and_an_engine_without_says_so()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest(), speculator: ToyProposer.Speculator(1));
        GenerationRequest request = new() { PromptIds = [1, 2], Options = new GenerationOptions { MaxNewTokens = 20, Speculate = false } };
        await engine.GenerateAsync(request);
        Assert.Equal((0, 0L), (engine.Statistics.Speculation!.Rounds, engine.Statistics.Speculation!.StandardFallbackSteps));
        await engine.GenerateAsync(request with { Options = request.Options with { Speculate = true } });
        Assert.True(engine.Statistics.Speculation!.Rounds > 0);

        await using InferenceEngine plain = ToyModel.Engine(new ToyModel(60, 4), s_options, 60, ToyModel.Manifest());
        Assert.Null(plain.Statistics.Speculation);
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => plain.GenerateAsync(request with { Options = request.Options with { Speculate = true } }));
        Assert.Contains("EngineOptions.Speculation", error.Message, StringComparison.Ordinal);
    }

    private static Func<Sampler, Speculator> Lookup(SpeculativeOptions options) => _ =>
    {
        SpeculativeCounters counters = new();
        return new Speculator(new PromptLookupProposer(options, counters), options, counters);
    };

    private static GenerationRequest Random(Random random, int pages)
    {
        int length = random.Next(1, (pages * 4 / 2) - 24);
        string text = ToyCodec.Text(Enumerable.Range(0, length).Select(i => random.Next(3) == 0 ? random.Next(60) : i % 7));
        return new GenerationRequest
        {
            Prompt = text,
            Options = new GenerationOptions
            {
                MaxNewTokens = random.Next(1, 40),
                Temperature = random.Next(2) == 0 ? 0 : 0.7f,
                TopP = random.Next(2) == 0 ? 1 : 0.8f,
                TopK = random.Next(2) == 0 ? 0 : 5,
                Seed = (ulong)random.Next(),
                RepetitionPenalty = random.Next(3) == 0 ? 1.3f : 1,
                PresencePenalty = random.Next(3) == 0 ? 0.4f : 0,
                FrequencyPenalty = random.Next(3) == 0 ? -0.2f : 0,
                IgnoreEos = random.Next(2) == 0,
                StopStrings = random.Next(3) == 0 ? ["!'", "5"] : [],
                LogProbabilities = random.Next(-1, 3),
            },
        };
    }

    private static async Task<List<string>> Run(GenerationRequest[] requests, int pages, Func<Sampler, Speculator>? speculator)
    {
        await using InferenceEngine engine = ToyModel.Engine(
            new ToyModel(pages, 4) { Repetition = Repetition }, s_options, pages, ToyModel.Manifest(eos: [3, 9]), new ToyCodec(), speculator);
        return await Run(requests, engine);
    }

    /// <summary>Every second request is streamed. Scores run between them.</summary>
    private static async Task<List<string>> Run(GenerationRequest[] requests, InferenceEngine engine) => [.. await Task.WhenAll(requests.Select(async (request, i) =>
    {
        if (i % 10 == 0)
        {
            return string.Join(' ', (await engine.ScoreAsync(new ScoreRequest { PromptIds = [1, 2, 3], ContinuationIds = [i % 60, 5] })).TokenLogLikelihoods);
        }

        if (i % 2 == 0)
        {
            GenerationResult result = await engine.GenerateAsync(request);
            string probabilities = string.Join(' ', result.LogProbabilities?.Select(entry => $"{entry.Id}:{entry.LogProbability:R}:{string.Join(',', entry.Alternatives)}") ?? []);
            return $"{string.Join(' ', result.Ids)} '{result.Text}' {result.FinishReason} {probabilities}";
        }

        List<string> updates = [];
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(request))
        {
            updates.Add($"{update.Id} '{update.Text}' {update.FinishReason} {update.LogProbability?.LogProbability:R}");
        }

        return string.Join('\n', updates);
    }))];

    /// <summary>The tokens that may follow, with their probabilities.</summary>
    private static List<(int Id, double Probability)> Probabilities(int[] tokens, GenerationOptions options)
    {
        float[] logits = ToyModel.Expected(tokens);
        int[] ids = LogSoftmax.TopIds(logits, options.TopK);
        double[] weights = [.. ids.Select(id => Math.Exp(logits[id] / (double)options.Temperature))];
        return [.. ids.Select((id, i) => (id, weights[i] / weights.Sum()))];
    }

    private sealed class PoisonProposer : IDraftProposer
    {
        public bool ReadsHidden => false;

        public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model)
        {
        }

        public void Propose(IReadOnlyList<DraftSlot> slots)
        {
            foreach (DraftSlot slot in slots)
            {
                slot.Sequence.Drafts.Add(ToyModel.Vocabulary - 1);
            }
        }

        public void Abort()
        {
        }

        public void Dispose()
        {
        }
    }
}
