using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Adapters over plainly exported folders, with the real session.</summary>
public sealed class AdapterEngineTests(ITestOutputHelper output) : IDisposable
{
    private static readonly string[] s_latent = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "mlps.0.gate_proj", "mlps.0.up_proj", "mlps.0.down_proj", "mlps.1.down_proj", "experts.0.gate_proj", "experts.1.up_proj", "experts.2.up_proj", "experts.1.down_proj", "experts.3.down_proj", "lm_head"];
    private static readonly string[] s_grouped = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"];
    private static readonly int[] s_prompt = [1, .. Enumerable.Range(0, 23).Select(i => 16 + (i * 37 % 251))];
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, WeightPrecision> Models => new()
    {
        { "latent", WeightPrecision.F32 },
        { "latent", WeightPrecision.BF16 },
        { "latent", WeightPrecision.W4A8 },
        { "grouped", WeightPrecision.F32 },
        { "grouped", WeightPrecision.BF16 },
        { "grouped", WeightPrecision.W4A8 },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Adapters_in_one_batch_equal_each_alone_and_rows_without_one_equal_the_model_alone_bit_for_bit(string kind, WeightPrecision precision)
    {
        string checkpoint = Checkpoint(kind, precision), model = Export(checkpoint, precision);
        Dictionary<string, string> adapters = Adapters(kind, checkpoint);
        string?[] names = [null, .. adapters.Keys];
        Dictionary<string, Answer> alone = [];
        foreach (string? name in names)
        {
            Dictionary<string, string> one = name is null ? [] : new() { [name] = adapters[name] };
            await using InferenceEngine single = InferenceEngine.Load(model, Options(one));
            alone.Add(name ?? "", await Answer.Of(single, name));
        }

        await using InferenceEngine engine = InferenceEngine.Load(model, Options(adapters) with { MaxStepTokens = 40, Threads = 2 });
        Task<Answer>[] together = [.. names.Concat(names.Reverse()).Select(name => Task.Run(() => Answer.Of(engine, name)))];
        await Task.WhenAll(together);
        foreach ((string? name, Task<Answer> answer) in names.Concat(names.Reverse()).Zip(together))
        {
            (await answer).AssertEqual(alone[name ?? ""], name);
        }

        // A test that the adapters do nothing would pass otherwise.
        Assert.Equal(names.Length, alone.Values.Select(answer => answer.Logits[^1]).Distinct().Count());
        Assert.True(engine.Statistics.PeakSequences > 3 && engine.Statistics.PrefixHitTokens > 0);
        Assert.Equal(engine.Adapters.Sum(adapter => adapter.Bytes), engine.Statistics.AdapterBytes);
        output.WriteLine($"{kind} {precision}: {engine.Statistics}");
    }

    [Theory]
    [InlineData("latent", false)]
    [InlineData("latent", true)]
    [InlineData("grouped", false)]
    [InlineData("grouped", true)]
    public async Task An_adapter_gives_what_the_merged_checkpoint_gives(string kind, bool dora)
    {
        string checkpoint = Checkpoint(kind, WeightPrecision.F32);
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], checkpoint, kind == "latent" ? s_latent : s_grouped, seed: 5, dora: dora);
        await using InferenceEngine engine = InferenceEngine.Load(Export(checkpoint, WeightPrecision.F32), Options(new() { ["one"] = adapter.Folder }));
        await using InferenceEngine merged = InferenceEngine.Load(Export(adapter.WriteMerged(checkpoint, _folder["merged"]), WeightPrecision.F32));
        float[] expected = await merged.LogitsAsync(s_prompt), actual = await engine.LogitsAsync(s_prompt, "one"), without = await engine.LogitsAsync(s_prompt);

        // float32 in another order of additions: rounding of a few units in the last place per layer.
        float worst = expected.Zip(actual, (left, right) => MathF.Abs(left - right)).Max(), effect = without.Zip(actual, (left, right) => MathF.Abs(left - right)).Max();
        output.WriteLine($"{kind}{(dora ? ", DoRA" : "")}: largest difference {worst:E2}, limit 2e-5; without the adapter {effect:F2}; largest logit {expected.Max(MathF.Abs):F2}");
        Assert.True(worst < 2e-5f && effect > 0.5f);
    }

    [Theory]
    [InlineData("latent", false)]
    [InlineData("latent", true)]
    [InlineData("grouped", false)]
    [InlineData("grouped", true)]
    public async Task On_a_quantized_model_an_adapter_does_what_it_does_on_the_float_model(string kind, bool dora)
    {
        string checkpoint = Checkpoint(kind, WeightPrecision.F32);
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], checkpoint, kind == "latent" ? s_latent : s_grouped, seed: 6, dora: dora);
        EngineOptions options = Options(new() { ["one"] = adapter.Folder });
        await using InferenceEngine exact = InferenceEngine.Load(Export(checkpoint, WeightPrecision.F32), options);
        float[] exactBase = await exact.LogitsAsync(s_prompt), exactAdapted = await exact.LogitsAsync(s_prompt, "one");
        await using InferenceEngine quantized = InferenceEngine.Load(Export(checkpoint, WeightPrecision.W4A8), options);
        float[] quantizedBase = await quantized.LogitsAsync(s_prompt), quantizedAdapted = await quantized.LogitsAsync(s_prompt, "one");
        double before = Distance(exactBase, quantizedBase), with = Distance(exactAdapted, quantizedAdapted), effect = Distance(quantizedBase, quantizedAdapted);

        // The error is that of 4-bit weights, with the adapter as without; a gain made of other weights, or an adapter that reads other inputs, would add one as large as the adapter's effect.
        output.WriteLine($"{kind}{(dora ? ", DoRA" : "")}: error of the quantized model {before:F3} without and {with:F3} with the adapter, whose effect is {effect:F3} (of the float logits' norm)");
        Assert.True(with < 1.5 * before && effect > 2 * before);
    }

    [Fact]
    public async Task Thirty_two_adapters_load_and_their_memory_is_counted()
    {
        string checkpoint = Checkpoint("grouped", WeightPrecision.F32);
        Dictionary<string, string> adapters = [];
        long values = 0;
        for (int i = 0; i < 32; i++)
        {
            RandomAdapter adapter = RandomAdapter.Write(_folder[$"adapter{i}"], checkpoint, ["q_proj", "v_proj"], seed: 100 + i, rank: 2 + (i % 3));
            adapters.Add($"adapter {i}", adapter.Folder);
            values += adapter.Modules.Values.Sum(module => (long)module.A.Length + module.B.Length);
        }

        await using InferenceEngine engine = InferenceEngine.Load(Export(checkpoint, WeightPrecision.F32), Options(adapters));
        Assert.Equal(values * sizeof(float), engine.Statistics.AdapterBytes);
        Assert.Equal(32, engine.Adapters.Select(adapter => adapter.ContentHash).Distinct().Count());
        float[][] rows = await Task.WhenAll(adapters.Keys.Select(name => engine.LogitsAsync(s_prompt, name)));
        Assert.Equal(32, rows.Select(row => row[^1]).Distinct().Count());
        await using InferenceEngine one = InferenceEngine.Load(Export(checkpoint, WeightPrecision.F32), Options(new() { ["x"] = adapters["adapter 17"] }));
        Assert.Equal(await one.LogitsAsync(s_prompt, "x"), rows[17]);
    }

    [Fact]
    public async Task Weights_in_huge_pages_take_adapters_too()
    {
        string checkpoint = Checkpoint("latent", WeightPrecision.F32), model = Export(checkpoint, WeightPrecision.F32);
        EngineOptions options = Options(Adapters("latent", checkpoint));
        await using InferenceEngine mapped = InferenceEngine.Load(model, options);
        await using InferenceEngine huge = InferenceEngine.Load(model, options with { WeightPages = WeightPages.Huge });
        Assert.Equal(await mapped.LogitsAsync(s_prompt, "dora"), await huge.LogitsAsync(s_prompt, "dora"));
    }

    [GoldenTheory]
    [InlineData("longcat-flash-lora")]
    [InlineData("longcat-flash-lora-list")]
    [InlineData("longcat-flash-dora")]
    public async Task Golden_adapters_on_a_plain_export_give_the_golden_logits(string fixture)
    {
        string model = Export(GoldenFixtures.Path("longcat-flash"), null);
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFixtures.Path(fixture, "golden.safetensors"));
        await using InferenceEngine engine = InferenceEngine.Load(model, Options(new() { ["golden"] = GoldenFixtures.Path(fixture) }));
        (int[][] rows, int width) = Inputs(golden, engine.Manifest.VocabSize);
        foreach ((string? adapter, string name) in new[] { ("golden", "logits"), (null, "base.logits") })
        {
            float[] expected = golden.ReadFloat32(name);
            float[][] actual = await Task.WhenAll(rows.Select(row => engine.LogitsAsync(row, adapter)));
            float worst = actual.SelectMany(row => row).Zip(expected, (left, right) => MathF.Abs(left - right)).Max();
            output.WriteLine($"{fixture}, {name}: largest difference {worst:E2}, limit 1e-4");
            Assert.Equal(expected.Length, rows.Length * width);
            Assert.True(worst < 1e-4f);
        }

        long[] greedy = golden.ReadInt64("greedy_ids");
        int steps = greedy.Length / rows.Length;
        for (int row = 0; row < rows.Length; row++)
        {
            GenerationResult result = await engine.GenerateAsync(
                new GenerationRequest { PromptIds = rows[row], Adapter = "golden", Options = new GenerationOptions { MaxNewTokens = steps, IgnoreEos = true } });
            Assert.Equal(greedy[(row * steps)..((row + 1) * steps)], result.Ids.Select(id => (long)id));
        }
    }

    private static EngineOptions Options(Dictionary<string, string> adapters) => new() { Adapters = adapters, PageSize = 4, MaxSequences = 16, MaxStepTokens = 64, Threads = 1, MemoryBudgetBytes = 64 << 20 };

    private static double Distance(float[] left, float[] right) =>
        Math.Sqrt(left.Zip(right, (a, b) => Math.Pow((double)a - b, 2)).Sum() / left.Sum(a => (double)a * a));

    private static (int[][] Rows, int Width) Inputs(SafetensorsFile golden, int vocabulary)
    {
        long[] ids = golden.ReadInt64("input_ids");
        int length = (int)golden.Entry("input_ids").Shape[1];
        return ([.. ids.Chunk(length).Select(row => Array.ConvertAll(row, id => (int)id))], length * vocabulary);
    }

    private string Checkpoint(string kind, WeightPrecision precision)
    {
        string folder = _folder[$"checkpoint-{kind}"];
        bool bfloat16 = precision == WeightPrecision.BF16;
        return Directory.Exists(folder) ? folder
            : kind == "latent" ? RandomCheckpoint.Write(folder, new RandomCheckpointOptions { Layers = 2, BFloat16 = bfloat16, Seed = 3 })
            : RandomDecoder.Write(folder, new RandomDecoderOptions { Biases = true, BFloat16 = bfloat16, Seed = 3 });
    }

    private string Export(string checkpoint, WeightPrecision? precision) => OnnxExporter.Export(checkpoint, _folder[$"onnx-{Path.GetFileName(checkpoint)}-{precision}"], new ExportOptions
    {
        Overwrite = true,
        Precision = precision,
        Quantization = precision == WeightPrecision.W4A8 ? new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 } : null,
    }).Folder;

    /// <summary>Different targets and ranks, one with DoRA, one that leaves kv_b_proj and most modules alone.</summary>
    private Dictionary<string, string> Adapters(string kind, string checkpoint)
    {
        string[] all = kind == "latent" ? s_latent : s_grouped;
        return new()
        {
            ["all"] = RandomAdapter.Write(_folder["all"], checkpoint, all, seed: 11).Folder,
            ["dora"] = RandomAdapter.Write(_folder["dora"], checkpoint, all, seed: 12, rank: 3, dora: true).Folder,
            ["few"] = RandomAdapter.Write(_folder["few"], checkpoint, [all[0], all[^2]], seed: 13, rank: 7).Folder,
        };
    }

    /// <summary>What an engine says of the prompt: all logits, a score, an embedding and a completion.</summary>
    private sealed record Answer(float[] Logits, IReadOnlyList<double> Score, float[] Embedding, IReadOnlyList<int> Ids, IReadOnlyList<double> Probabilities)
    {
        public static async Task<Answer> Of(InferenceEngine engine, string? adapter)
        {
            Task<float[]> logits = engine.LogitsAsync(s_prompt, adapter);
            Task<ScoreResult> score = engine.ScoreAsync(new ScoreRequest { PromptIds = s_prompt, ContinuationIds = [20, 21, 22, 23], Adapter = adapter });
            Task<EmbeddingResult> embedding = engine.EmbedAsync(new EmbeddingRequest { Ids = s_prompt, Adapter = adapter });
            GenerationResult result = await engine.GenerateAsync(new GenerationRequest
            {
                PromptIds = s_prompt, Adapter = adapter, Options = new GenerationOptions { MaxNewTokens = 12, IgnoreEos = true, LogProbabilities = -1 },
            });
            return new Answer(
                await logits, (await score).TokenLogLikelihoods, (await embedding).Vector, result.Ids, [.. result.LogProbabilities!.Select(token => token.LogProbability)]);
        }

        public void AssertEqual(Answer expected, string? name)
        {
            Assert.True(expected.Logits.AsSpan().SequenceEqual(Logits), $"{name}: logits differ by {expected.Logits.Zip(Logits, (left, right) => MathF.Abs(left - right)).Max()}");
            Assert.Equal(expected.Score, Score);
            Assert.Equal(expected.Embedding, Embedding);
            Assert.Equal(expected.Ids, Ids);
            Assert.Equal(expected.Probabilities, Probabilities);
        }
    }
}
