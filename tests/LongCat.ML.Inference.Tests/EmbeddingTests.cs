using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Embeddings over the toy model, and over ONNX Runtime against the graph run directly.</summary>
public sealed class EmbeddingTests(ExportedModel model, ITestOutputHelper output) : IClassFixture<ExportedModel>
{
    private static readonly int[] s_ids = [.. Enumerable.Range(0, 21).Select(i => i * 13 % ToyModel.Vocabulary)];

    [Theory]
    [InlineData(EmbeddingPooling.Mean, true, 16)]
    [InlineData(EmbeddingPooling.Mean, false, 3)]
    [InlineData(EmbeddingPooling.LastToken, true, 16)]
    [InlineData(EmbeddingPooling.LastToken, false, 1)]
    public async Task Hidden_states_are_pooled_over_all_chunks(EmbeddingPooling pooling, bool normalize, int maxStepTokens)
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(64, 4), Options(maxStepTokens), 64);
        EmbeddingResult result = await engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Pooling = pooling, Normalize = normalize });
        Assert.Equal(s_ids.Length, result.Tokens);
        AssertClose(ToyModel.ExpectedEmbedding(s_ids, pooling, normalize), result.Vector);
        Assert.Equal((1, 0), (engine.Statistics.RequestsFinished, engine.Statistics.PagesUsed));
    }

    [Fact]
    public async Task Shared_pages_hold_no_hidden_states_so_a_mean_computes_its_tokens_anew_and_a_last_token_does_not()
    {
        ToyModel toy = new(64, 4);
        await using InferenceEngine engine = ToyModel.Engine(toy, Options(64), 64);
        await engine.GenerateAsync(new GenerationRequest { PromptIds = s_ids, Options = new GenerationOptions { MaxNewTokens = 3 } });
        Assert.Equal(0, toy.HiddenSteps);

        EmbeddingResult mean = await engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids });
        Assert.Equal(0, engine.Statistics.PrefixHitTokens);
        AssertClose(ToyModel.ExpectedEmbedding(s_ids, EmbeddingPooling.Mean, normalize: true), mean.Vector);

        EmbeddingResult last = await engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Pooling = EmbeddingPooling.LastToken });
        Assert.Equal(20, engine.Statistics.PrefixHitTokens);
        AssertClose(ToyModel.ExpectedEmbedding(s_ids, EmbeddingPooling.LastToken, normalize: true), last.Vector);
        Assert.Equal(2, toy.HiddenSteps);
    }

    [Fact]
    public async Task Two_equal_means_that_come_together_both_get_every_token()
    {
        ToyModel toy = new(64, 4);
        await using InferenceEngine engine = ToyModel.Engine(toy, Options(7), 64);
        toy.Close();
        Task<EmbeddingResult>[] tasks = [.. Enumerable.Range(0, 3).Select(_ => engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Normalize = false }))];
        Task<GenerationResult> generation = engine.GenerateAsync(new GenerationRequest { PromptIds = s_ids, Options = new GenerationOptions { MaxNewTokens = 4 } });
        toy.Open();
        foreach (EmbeddingResult result in await Task.WhenAll(tasks))
        {
            AssertClose(ToyModel.ExpectedEmbedding(s_ids, EmbeddingPooling.Mean, normalize: false), result.Vector);
        }

        Assert.Equal(4, (await generation).Ids.Count);
    }

    [Fact]
    public async Task A_pool_too_small_for_all_preempts_and_changes_nothing()
    {
        ToyModel toy = new(14, 4);
        await using InferenceEngine engine = ToyModel.Engine(toy, Options(9), 14);
        toy.Close();
        List<Task> tasks = [];
        for (int i = 0; i < 3; i++)
        {
            tasks.Add(engine.GenerateAsync(new GenerationRequest { PromptIds = [i, 7], Options = new GenerationOptions { MaxNewTokens = 30 } }));
        }

        Task<EmbeddingResult> embedding = engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Normalize = false });
        toy.Open();
        await Task.WhenAll(tasks);
        Assert.True(engine.Statistics.Preemptions > 0);
        AssertClose(ToyModel.ExpectedEmbedding(s_ids, EmbeddingPooling.Mean, normalize: false), (await embedding).Vector);
    }

    [Fact]
    public async Task Bad_requests_are_refused_by_name_and_long_texts_follow_the_option()
    {
        await using InferenceEngine engine = ToyModel.Engine(new ToyModel(16, 4), Options(16), 16, ToyModel.Manifest(maxPositions: 20));
        async Task Refused<T>(EmbeddingRequest request, string part)
            where T : Exception => Assert.Contains(part, (await Assert.ThrowsAnyAsync<T>(() => engine.EmbedAsync(request))).Message, StringComparison.Ordinal);
        await Refused<ArgumentException>(new EmbeddingRequest(), "neither");
        await Refused<ArgumentException>(new EmbeddingRequest { Text = "a", Ids = [1] }, "both");
        await Refused<ArgumentException>(new EmbeddingRequest { Ids = [1], Pooling = (EmbeddingPooling)7 }, "Pooling is 7");
        await Refused<InferenceException>(new EmbeddingRequest { Text = "a" }, "tokenizer.json");
        await Refused<InferenceException>(new EmbeddingRequest { Ids = [61] }, "the text holds id 61");
        await Refused<InferenceException>(new EmbeddingRequest { Ids = s_ids }, "the text has 21 tokens; the model's longest sequence is 20");

        AssertClose(
            ToyModel.ExpectedEmbedding(s_ids[1..], EmbeddingPooling.Mean, normalize: true),
            (await engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Overflow = PromptOverflow.TruncateLeft })).Vector);
        AssertClose(
            ToyModel.ExpectedEmbedding(s_ids[..20], EmbeddingPooling.LastToken, normalize: true),
            (await engine.EmbedAsync(new EmbeddingRequest { Ids = s_ids, Pooling = EmbeddingPooling.LastToken, Overflow = PromptOverflow.TruncateRight })).Vector);

        // The begin-of-sequence token stands for an empty text.
        AssertClose(ToyModel.ExpectedEmbedding([1], EmbeddingPooling.Mean, normalize: true), (await engine.EmbedAsync(new EmbeddingRequest { Ids = [] })).Vector);

        await using InferenceEngine without = ToyModel.Engine(new ToyModel(16, 4) { HiddenSize = 0 }, Options(16), 16);
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(() => without.EmbedAsync(new EmbeddingRequest { Ids = [1] }));
        Assert.Contains("'hidden'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Embeddings_are_those_of_the_graph_run_directly_whatever_the_batch_and_the_chunks()
    {
        int[][] texts = [.. Enumerable.Range(0, 6).Select(i => Enumerable.Range(0, 9 + (11 * i)).Select(k => 3 + (((k * 17) + i) * 29 % 250)).ToArray())];
        ModelManifest manifest = ModelManifest.Read(model.Folder);
        float[][] direct = [.. texts.Select(text => HiddenStates(manifest, text))];
        double worst = 0;
        double between = 0;
        foreach ((int maxStepTokens, int maxSequences) in new[] { (512, 1), (512, 8), (7, 8), (1, 2) })
        {
            await using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { MaxStepTokens = maxStepTokens, MaxSequences = maxSequences, PageSize = 4 });
            foreach (EmbeddingPooling pooling in Enum.GetValues<EmbeddingPooling>())
            {
                EmbeddingResult[] results = await Task.WhenAll(texts.Select(text => engine.EmbedAsync(new EmbeddingRequest { Ids = text, Pooling = pooling })));
                for (int i = 0; i < texts.Length; i++)
                {
                    double[] expected = Pool(direct[i], manifest.HiddenSize, pooling);
                    worst = Math.Max(worst, expected.Zip(results[i].Vector, (left, right) => Math.Abs(left - right)).Max());
                    Assert.Equal(1, results[i].Vector.Sum(value => (double)value * value), 1e-5);
                    double[] other = Pool(direct[(i + 1) % texts.Length], manifest.HiddenSize, pooling);
                    between = Math.Max(between, other.Zip(results[i].Vector, (left, right) => Math.Abs(left - right)).Max());
                }
            }
        }

        // Vectors of length 1 from float32 arithmetic whose sums are grouped otherwise in other batches; different texts are far apart.
        output.WriteLine($"largest difference {worst:E2}, limit 1e-5; between different texts up to {between:E2}");
        Assert.True(worst < 1e-5);
        Assert.True(between > 1e-2);
    }

    [Fact]
    public async Task Text_is_embedded_through_the_folders_tokenizer()
    {
        await using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        EmbeddingResult text = await engine.EmbedAsync(new EmbeddingRequest { Text = "Gets the größte value." });
        EmbeddingResult ids = await engine.EmbedAsync(new EmbeddingRequest { Ids = engine.Tokenizer!.Encode("Gets the größte value.") });
        Assert.Equal(ids.Vector, text.Vector);
    }

    private static EngineOptions Options(int maxStepTokens) => new() { MaxSequences = 4, MaxStepTokens = maxStepTokens, PageSize = 4 };

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);

        // The same sums in double precision, divided in another order.
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 1e-6));
    }

    private static double[] Pool(float[] states, int width, EmbeddingPooling pooling)
    {
        int tokens = states.Length / width;
        double[] sum = new double[width];
        for (int token = pooling == EmbeddingPooling.Mean ? 0 : tokens - 1; token < tokens; token++)
        {
            for (int i = 0; i < width; i++)
            {
                sum[i] += states[(token * width) + i];
            }
        }

        double length = Math.Sqrt(sum.Sum(value => value * value));
        return Array.ConvertAll(sum, value => value / length);
    }

    /// <summary>The output <c>hidden</c> of the graph for one text in one run: no engine, no scheduler, one page.</summary>
    private float[] HiddenStates(ModelManifest manifest, int[] text)
    {
        using SessionOptions options = new();
        options.RegisterCustomOpLibraryV2(Native.NativeLibraryLocator.Find(), out _);
        using InferenceSession session = new(Path.Combine(model.Folder, ModelManifest.ModelFileName), options);
        Dictionary<string, OrtValue> inputs = new()
        {
            ["input_ids"] = Tensor(Array.ConvertAll(text, id => (long)id), text.Length),
            ["position_ids"] = Tensor([.. Enumerable.Range(0, text.Length).Select(position => (long)position)], text.Length),
            ["query_start"] = Tensor([0, text.Length], 2),
            ["context_length"] = Tensor([text.Length], 1),
            ["block_table"] = Tensor([0], 1, 1),
            ["ngram_context"] = Tensor([.. Enumerable.Repeat(-1L, manifest.NgramNeighbors - 1)], 1, manifest.NgramNeighbors - 1),
            ["logits_index"] = Tensor([0L], 1),
        };
        for (int i = 0; i < manifest.Caches.Count; i++)
        {
            inputs[$"cache.{i}"] = Tensor(new float[text.Length * manifest.Caches[i].Width], 1, text.Length, manifest.Caches[i].Width);
        }

        using RunOptions run = new();
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(run, inputs, ["hidden"]);
        Assert.Equal([text.Length, manifest.HiddenSize], outputs[0].GetTensorTypeAndShape().Shape);
        float[] states = outputs[0].GetTensorDataAsSpan<float>().ToArray();
        foreach (OrtValue value in inputs.Values)
        {
            value.Dispose();
        }

        return states;
    }

    private static OrtValue Tensor<T>(T[] values, params long[] shape)
        where T : unmanaged => OrtValue.CreateTensorValueFromMemory(values, shape);
}
