using LongCat.ML.Inference.Sampling;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine's public face over the toy model.</summary>
public sealed class EngineRequestTests
{
    private static readonly EngineOptions s_options = new() { MaxSequences = 4, MaxStepTokens = 16, PageSize = 4 };

    [Fact]
    public async Task Greedy_ids_log_probabilities_and_statistics_are_those_of_the_model()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), s_options, 64);
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = [3, 1, 4, 1, 5],
            Options = new GenerationOptions { MaxNewTokens = 6, LogProbabilities = 3 },
        });
        List<int> tokens = [3, 1, 4, 1, 5];
        foreach (TokenLogProbability entry in result.LogProbabilities!)
        {
            float[] logits = ToyModel.Expected(tokens);
            double normalizer = LogSoftmax.LogSumExp(logits);
            Assert.Equal(Array.IndexOf(logits, logits.Max()), entry.Id);
            Assert.Equal(logits[entry.Id] - normalizer, entry.LogProbability, 1e-12);
            Assert.Equal(3, entry.Alternatives.Count);
            Assert.Equal(new TokenAlternative(entry.Id, entry.LogProbability), entry.Alternatives[0]);
            tokens.Add(entry.Id);
        }

        Assert.Equal(tokens[5..], result.Ids);
        Assert.Equal((FinishReason.Length, 5, ""), (result.FinishReason, result.PromptTokens, result.Text));
        Assert.True(result.TimeToFirstToken > TimeSpan.Zero && result.Elapsed >= result.TimeToFirstToken);
        EngineStatistics statistics = engine.Statistics;
        Assert.Equal((6, 5, 6), (statistics.Steps, statistics.PrefillTokens, statistics.GeneratedTokens));
        Assert.Equal((1, 0, 0, 0, 64), (statistics.RequestsFinished, statistics.RequestsRunning, statistics.RequestsWaiting, statistics.PagesUsed, statistics.PagesTotal));
    }

    [Fact]
    public async Task Requests_run_together_and_sampled_text_does_not_depend_on_the_company()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 12).Select(i => new GenerationRequest
        {
            PromptIds = [i, 2 * i, 7],
            Options = new GenerationOptions { MaxNewTokens = 20, Temperature = 0.8f, TopK = 20, TopP = 0.9f, Seed = (ulong)(i / 2) },
        })];
        List<IReadOnlyList<int>> alone = [];
        foreach (GenerationRequest request in requests)
        {
            await using InferenceEngine single = ToyModel.Engine(new ToyModel(64, 4), s_options, 64);
            alone.Add((await single.GenerateAsync(request)).Ids);
        }

        ToyModel model = new(64, 4);
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 64);
        model.Close();
        Task<GenerationResult>[] tasks = [.. requests.Select(request => engine.GenerateAsync(request))];
        model.Open();
        GenerationResult[] results = await Task.WhenAll(tasks);
        Assert.Equal(alone, results.Select(result => result.Ids));
        Assert.Equal(4, engine.Statistics.PeakSequences);
        Assert.True(engine.Statistics.Steps < 12 * 20 / 2, $"{engine.Statistics.Steps} steps for 12 requests of 20 tokens, four at a time");
        Assert.Equal(0, engine.Statistics.PagesUsed);
    }

    [Fact]
    public async Task End_of_sequence_ends_and_can_be_ignored()
    {
        List<int> tokens = [9, 9];
        for (int i = 0; i < 5; i++)
        {
            float[] logits = ToyModel.Expected(tokens);
            tokens.Add(Array.IndexOf(logits, logits.Max()));
        }

        int eos = tokens[4];
        int first = tokens.IndexOf(eos, 2);
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), s_options, 64, ToyModel.Manifest(eos: eos), new ToyCodec());
        GenerationRequest request = new() { PromptIds = [9, 9], Options = new GenerationOptions { MaxNewTokens = 5 } };
        GenerationResult ended = await engine.GenerateAsync(request);
        Assert.Equal(tokens[2..(first + 1)], ended.Ids);
        Assert.Equal(FinishReason.Stop, ended.FinishReason);
        Assert.Equal(ToyCodec.Text(tokens[2..first]), ended.Text);
        GenerationResult ignored = await engine.GenerateAsync(request with { Options = request.Options with { IgnoreEos = true } });
        Assert.Equal(tokens[2..], ignored.Ids);
        Assert.Equal(FinishReason.Length, ignored.FinishReason);
        Assert.Equal(ToyCodec.Text(tokens[2..]), ignored.Text);
    }

    [Fact]
    public async Task A_stop_string_ends_the_text_before_it_and_streamed_text_never_holds_a_part_of_it()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), s_options, 64, codec: new ToyCodec());
        GenerationRequest request = new() { Prompt = "HELLO", Options = new GenerationOptions { MaxNewTokens = 30 } };
        string text = (await engine.GenerateAsync(request)).Text;
        Assert.Equal(30, text.Length);
        string stop = text.Substring(13, 4);
        int at = text.IndexOf(stop, StringComparison.Ordinal);
        request = request with { Options = request.Options with { StopStrings = ["never there", stop] } };
        GenerationResult result = await engine.GenerateAsync(request);
        Assert.Equal((text[..at], FinishReason.Stop), (result.Text, result.FinishReason));

        string streamed = "";
        List<GenerationUpdate> updates = [];
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(request))
        {
            streamed += update.Text;
            updates.Add(update);
            Assert.StartsWith(streamed, text[..at], StringComparison.Ordinal);
        }

        Assert.Equal(text[..at], streamed);
        Assert.Equal(result.Ids, updates.Select(update => update.Id));
        Assert.Equal(FinishReason.Stop, updates[^1].FinishReason);
        Assert.All(updates[..^1], update => Assert.Null(update.FinishReason));
    }

    [Fact]
    public async Task Scores_are_log_likelihoods_and_tell_greedy_continuations()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), s_options, 64, codec: new ToyCodec());
        int[] prompt = [.. Enumerable.Range(0, 21)];
        IReadOnlyList<int> greedy = (await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = new GenerationOptions { MaxNewTokens = 5 } })).Ids;
        ScoreResult score = await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = greedy });
        Assert.True(score.GreedyMatch);
        Assert.Equal(5, score.Tokens);
        Assert.Equal(score.TokenLogLikelihoods.Sum(), score.LogLikelihood);
        ScoreResult other = await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = [.. greedy.Take(4), (greedy[4] + 1) % ToyModel.Vocabulary] });
        Assert.False(other.GreedyMatch);
        Assert.Equal(score.TokenLogLikelihoods.Take(4), other.TokenLogLikelihoods.Take(4));
        Assert.True(other.LogLikelihood < score.LogLikelihood);

        ScoreResult text = await engine.ScoreAsync(new ScoreRequest { Prompt = ToyCodec.Text(prompt), Continuation = ToyCodec.Text(greedy) });
        Assert.Equal(score.TokenLogLikelihoods, text.TokenLogLikelihoods);

        // An empty prompt starts from the begin-of-sequence token.
        ScoreResult begin = await engine.ScoreAsync(new ScoreRequest { Prompt = "", Continuation = "A" });
        float[] logits = ToyModel.Expected([1]);
        Assert.Equal(logits['A' - ' '] - LogSoftmax.LogSumExp(logits), begin.LogLikelihood);
    }

    [Fact]
    public async Task Too_long_prompts_follow_the_option_and_refusals_carry_numbers()
    {
        // 10 pages of 4 tokens; longest sequence 32.
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(10, 4), s_options, 10, ToyModel.Manifest(maxPositions: 32));
        int[] prompt = [.. Enumerable.Range(0, 50)];
        GenerationOptions options = new() { MaxNewTokens = 8 };
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options }));
        Assert.Contains("50 tokens", error.Message, StringComparison.Ordinal);
        Assert.Contains("32", error.Message, StringComparison.Ordinal);

        GenerationResult left = await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options with { Overflow = PromptOverflow.TruncateLeft } });
        GenerationResult right = await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt, Options = options with { Overflow = PromptOverflow.TruncateRight } });
        Assert.Equal((24, 8), (left.PromptTokens, left.Ids.Count));
        Assert.Equal((await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt[26..], Options = options })).Ids, left.Ids);
        Assert.Equal((await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt[..24], Options = options })).Ids, right.Ids);

        GenerationResult context = await engine.GenerateAsync(new GenerationRequest { PromptIds = prompt[..30], Options = options });
        Assert.Equal((2, FinishReason.Length), (context.Ids.Count, context.FinishReason));

        await Assert.ThrowsAsync<InferenceException>(() => engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = [1, 2] }));
        ScoreResult score = await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = [1, 2], Overflow = PromptOverflow.TruncateLeft });
        Assert.Equal((await engine.ScoreAsync(new ScoreRequest { PromptIds = prompt[20..], ContinuationIds = [1, 2] })).LogLikelihood, score.LogLikelihood);

        await using InferenceEngine small = ToyModel.Engine(new ToyModel(3, 4), s_options, 3);
        error = await Assert.ThrowsAsync<InferenceException>(() => small.GenerateAsync(new GenerationRequest { PromptIds = [1, 2, 3], Options = new GenerationOptions { MaxNewTokens = 11 } }));
        Assert.Contains("4 pages of 4 tokens; the whole pool has 3", error.Message, StringComparison.Ordinal);
        Assert.Equal(10, (await small.GenerateAsync(new GenerationRequest { PromptIds = [1, 2, 3], Options = new GenerationOptions { MaxNewTokens = 10 } })).Ids.Count);
    }

    [Fact]
    public async Task A_prompt_that_fits_is_not_cut_for_a_generous_number_of_new_tokens()
    {
        // 5 pages of 4 tokens hold less than the longest sequence.
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(5, 4), s_options, 5, ToyModel.Manifest(maxPositions: 32));
        GenerationOptions options = new() { MaxNewTokens = int.MaxValue, Overflow = PromptOverflow.TruncateLeft };
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest { PromptIds = [3, 1, 4, 1, 5], Options = options });
        Assert.Equal((5, 16, FinishReason.Length), (result.PromptTokens, result.Ids.Count, result.FinishReason));
        GenerationResult cut = await engine.GenerateAsync(new GenerationRequest { PromptIds = [.. Enumerable.Range(0, 50)], Options = options });
        Assert.Equal((11, 10), (cut.PromptTokens, cut.Ids.Count));
    }

    [Fact]
    public async Task Bad_requests_are_refused_by_name_and_harm_nobody()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(16, 4), s_options, 16);
        async Task Refused<T>(GenerationRequest request, string part)
            where T : Exception
        {
            T error = await Assert.ThrowsAnyAsync<T>(() => engine.GenerateAsync(request));
            Assert.Contains(part, error.Message, StringComparison.Ordinal);
        }

        await Refused<ArgumentException>(new GenerationRequest(), "neither");
        await Refused<ArgumentException>(new GenerationRequest { Prompt = "a", PromptIds = [1] }, "both");
        await Refused<InferenceException>(new GenerationRequest { Prompt = "a" }, "tokenizer.json");
        await Refused<InferenceException>(new GenerationRequest { PromptIds = [1, 2, 61] }, "id 61 at index 2; ids from 0 to 60");
        await Refused<InferenceException>(new GenerationRequest { PromptIds = [-1] }, "id -1 at index 0");
        await Refused<InferenceException>(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { StopStrings = ["x"] } }, "StopStrings");
        await Refused<ArgumentException>(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { Temperature = float.NaN } }, "Temperature");
        await Refused<ArgumentException>(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { TopP = 0 } }, "TopP");
        await Refused<ArgumentException>(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { TopK = -1 } }, "TopK");
        await Refused<ArgumentException>(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { MaxNewTokens = -1 } }, "MaxNewTokens");
        await Assert.ThrowsAsync<InferenceException>(() => engine.LogitsAsync([]));
        await Assert.ThrowsAsync<InferenceException>(() => engine.ScoreAsync(new ScoreRequest { PromptIds = [1], ContinuationIds = [] }));
        await Assert.ThrowsAsync<ArgumentException>(() => engine.ScoreAsync(new ScoreRequest { PromptIds = [1], Continuation = "a" }));
        Assert.Equal(0, engine.Statistics.Steps);

        GenerationResult nothing = await engine.GenerateAsync(new GenerationRequest { PromptIds = [1], Options = new GenerationOptions { MaxNewTokens = 0 } });
        Assert.Empty(nothing.Ids);
        Assert.Equal(4, (await engine.GenerateAsync(new GenerationRequest { PromptIds = [], Options = new GenerationOptions { MaxNewTokens = 4 } })).Ids.Count);
    }
}
