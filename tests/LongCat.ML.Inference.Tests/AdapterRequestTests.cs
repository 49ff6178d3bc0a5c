namespace LongCat.ML.Inference.Tests;

/// <summary>Requests that name adapters, over the toy model: what an adapter computed serves that adapter alone.</summary>
public sealed class AdapterRequestTests
{
    private static readonly EngineOptions s_options = new() { PageSize = 4, MaxSequences = 8, MaxStepTokens = 16 };
    private static readonly int[] s_prompt = [.. Enumerable.Range(1, 14)];

    [Fact]
    public async Task One_batch_mixes_adapters_and_requests_without_one()
    {
        ToyModel model = new(64, 4) { Adapters = ToyModel.Named("red", "green") };
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 64);
        model.Close();
        string?[] names = [null, "green", "red", "green", null];
        Task<GenerationResult>[] running = [.. names.Select(name => engine.GenerateAsync(
            new GenerationRequest { PromptIds = s_prompt, Adapter = name, Options = new GenerationOptions { MaxNewTokens = 6 } }))];
        Task<float[]> logits = engine.LogitsAsync(s_prompt, "red");
        model.Open();
        await Task.WhenAll(running);
        Assert.True(engine.Statistics.PeakSequences > 2);
        for (int i = 0; i < names.Length; i++)
        {
            int adapter = names[i] switch { null => -1, "red" => 0, _ => 1 };
            List<int> tokens = [.. s_prompt];
            foreach (int id in (await running[i]).Ids)
            {
                float[] expected = ToyModel.Expected(tokens, adapter);
                Assert.Equal(Array.IndexOf(expected, expected.Max()), id);
                tokens.Add(id);
            }
        }

        Assert.Equal(ToyModel.Expected(s_prompt, 0), (await logits)[^ToyModel.Vocabulary..]);
    }

    [Fact]
    public async Task Requests_of_one_adapter_share_their_prefix_and_no_others_do()
    {
        ToyModel model = new(64, 4) { Adapters = ToyModel.Named("red", "green") };
        await using InferenceEngine engine = ToyModel.Engine(model, s_options, 64);
        foreach ((string? name, long hits) in new (string?, long)[] { ("red", 0), (null, 0), ("green", 0), ("red", 12), ("green", 24), (null, 36) })
        {
            ScoreResult score = await engine.ScoreAsync(new ScoreRequest { PromptIds = s_prompt, ContinuationIds = [3, 4], Adapter = name });
            Assert.Equal(hits, engine.Statistics.PrefixHitTokens);
            int adapter = name switch { null => -1, "red" => 0, _ => 1 };
            float[] logits = ToyModel.Expected(s_prompt, adapter);
            Assert.Equal(logits[3] - Sampling.LogSoftmax.LogSumExp(logits), score.TokenLogLikelihoods[0]);
        }
    }

    [Fact]
    public async Task An_unknown_name_is_refused_with_the_names_there_are()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4) { Adapters = ToyModel.Named("red", "green") }, s_options, 64);
        foreach (Func<Task> call in new Func<Task>[]
        {
            () => engine.GenerateAsync(new GenerationRequest { PromptIds = s_prompt, Adapter = "Red" }),
            () => engine.GenerateAsync(new GenerationRequest { PromptIds = s_prompt, Adapter = "Red", Options = new GenerationOptions { MaxNewTokens = 0 } }),
            async () => await engine.GenerateStreamingAsync(new GenerationRequest { PromptIds = s_prompt, Adapter = "Red" }).GetAsyncEnumerator().MoveNextAsync(),
            () => engine.ScoreAsync(new ScoreRequest { PromptIds = s_prompt, ContinuationIds = [1], Adapter = "Red" }),
            () => engine.EmbedAsync(new EmbeddingRequest { Ids = s_prompt, Adapter = "Red" }),
            () => engine.LogitsAsync(s_prompt, "Red"),
        })
        {
            InferenceException error = await Assert.ThrowsAsync<InferenceException>(call);
            Assert.Equal("no adapter has the name 'Red'; the engine has 'red', 'green'. Use one of them, or none.", error.Message);
        }

        await using InferenceEngine none = ToyModel.Engine(new ToyModel(64, 4), s_options, 64);
        InferenceException without = await Assert.ThrowsAsync<InferenceException>(() => none.LogitsAsync(s_prompt, "red"));
        Assert.Contains("without adapters", without.Message, StringComparison.Ordinal);
        Assert.Contains("EngineOptions.Adapters", without.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Memory_of_adapters_is_reported()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4) { Adapters = ToyModel.Named("red", "green") }, s_options, 64);
        Assert.Equal(20, engine.Statistics.AdapterBytes);
        await engine.LogitsAsync(s_prompt, "green");
        Assert.Equal(20, engine.Statistics.AdapterBytes);
        Assert.Equal(["red", "green"], engine.Adapters.Select(adapter => adapter.Name));
    }

    [Theory]
    [InlineData("", "folder", "has the name ''")]
    [InlineData("two\nlines", "folder", "without line breaks")]
    [InlineData("red", " ", "names no folder for 'red'")]
    public void Names_and_folders_are_checked_before_anything_is_opened(string name, string folder, string expected)
    {
        EngineOptions options = new() { Adapters = new Dictionary<string, string> { [name] = folder } };
        ArgumentException error = Assert.Throws<ArgumentException>(() => InferenceEngine.Load("nowhere", options));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
