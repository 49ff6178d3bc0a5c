using System.Runtime.InteropServices;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.Streaming;

/// <summary>
/// Streaming attention of every family: against the golden kernels' outputs, against double-precision loops, and against itself on packed rows. A key too many or too few moves an
/// output by about one part in the number of visible keys, 1e-2 and more here; float32 sums in another order move it by 1e-6 (attention alone) to 1e-5 (logits).
/// </summary>
public class StreamingAttentionTests(ITestOutputHelper output)
{
    private const double Fixture = 5e-6;
    private const double Logits = 5e-5;

    public static TheoryData<string> Cases => new("toy", "toy_chunk", "full", "full_chunk", "full_decode", "full_decode_one");

    /// <summary>Models without a window, or with one in some layers only.</summary>
    public static TheoryData<string> Decoders => new("Llama with biases", "Llama, llama3 rope, one head each", "Mistral without window", "Qwen2, tied", "Qwen2, window from layer 1", "Qwen3-MoE, weights not normalized");

    public static TheoryData<int, int, int> Patterns => new()
    {
        { 4, 1, 2 }, { 4, 0, 1 }, { 1, 0, 1 }, { 1, 3, 2 }, { 3, 2, 1 }, { 5, 1, 3 }, { 64, 1, 7 },
    };

    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Outputs_equal_the_golden_ones(string name)
    {
        using var golden = new Golden(output, "sparse-attention");
        using var cases = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(golden.Folder, "cases.json")));
        JsonElement settings = cases.RootElement.GetProperty(name);
        int length = Int("kv_length"), heads = Int("heads"), first = settings.GetProperty("query_rows")[0].GetInt32(), end = settings.GetProperty("query_rows")[1].GetInt32();
        string source = settings.GetProperty("inputs_from").GetString()!;
        StreamingAttentionConfig pattern = new() { BlockSize = Int("block_size"), SinkBlocks = Int("sink_blocks"), LocalBlocks = Int("local_blocks"), AttentionLayers = [0] };

        using var scope = NewDisposeScope();
        using var batch = new SequenceBatch(new long[length], 1, length);
        batch.Prepare(new RotaryTable([1f], 1), CPU);
        Tensor value = ByHead("v", Int("v_dim"));
        Tensor query = ByHead("q", Int("qk_dim")).mul((float)settings.GetProperty("softmax_scale").GetDouble());
        foreach (long whole in (long[])[long.MaxValue, 0])
        {
            AttentionSight sight = new(TinyConfig.Read() with { NumAttentionHeads = heads, Streaming = pattern }, attention: 0) { WholeBytes = whole, TileBytes = 1 << 16 };
            Tensor result = sight.Attend(query, ByHead("k", Int("qk_dim")), value, batch).transpose(0, 1).narrow(0, first, end - first);
            golden.Close($"{name}.out", result, Fixture);
        }

        float[] mask = Values(batch.MaskFor(null, pattern));
        long[] counts = golden.Int64($"{name}.visible_count");
        for (int row = first; row < end; row++)
        {
            Assert.Equal(counts[row - first], mask.AsSpan(row * length, length).Count(0f));
        }

        int Int(string key) => settings.GetProperty(key).GetInt32();
        Tensor ByHead(string part, int width) => tensor(golden.Float32($"{source}.{part}"), [length, heads, width]).transpose(0, 1).contiguous();
    }

    [Theory]
    [MemberData(nameof(Patterns))]
    public void A_mask_shows_what_the_rule_says_within_each_document(int block, int sinks, int locals)
    {
        StreamingAttentionConfig pattern = new() { BlockSize = block, SinkBlocks = sinks, LocalBlocks = locals, AttentionLayers = [0] };
        int[] starts = [.. Enumerable.Range(0, 80).Select(i => i < 40 ? i < 11 ? 0 : 11 : i < 43 ? 0 : i < 77 ? 3 : 37)];
        using var batch = new SequenceBatch(new long[80], 2, 40, starts);
        batch.Prepare(new RotaryTable([1f], 1), CPU);
        foreach (int? window in (int?[])[null, 6])
        {
            float[] mask = Values(batch.MaskFor(window, pattern));
            for (int i = 0; i < mask.Length; i++)
            {
                int key = i % 40, query = i / 40 % 40, row = i / 1600, start = starts[(row * 40) + query];
                bool visible = key >= start && pattern.Visible(query - start, key - start) && (window is null || key > query - window);
                Assert.Equal(visible ? 0f : float.NegativeInfinity, mask[i]);
            }
        }
    }

    [Fact]
    public void A_mask_is_made_once_and_the_plain_one_serves_while_nothing_is_hidden()
    {
        StreamingAttentionConfig pattern = new() { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0] };
        using var longer = new SequenceBatch(new long[13], 1, 13);
        longer.Prepare(new RotaryTable([1f], 1), CPU);
        Assert.Same(longer.MaskFor(null, pattern), longer.MaskFor(null, pattern with { AttentionLayers = [0, 3] }));
        Assert.NotSame(longer.Mask, longer.MaskFor(null, pattern));
        Assert.NotSame(longer.MaskFor(null, pattern), longer.MaskFor(null, pattern with { LocalBlocks = 1 }));

        // Two documents of 12 tokens, which is the span.
        using var shorter = new SequenceBatch(new long[24], 1, 24, [.. Enumerable.Range(0, 24).Select(i => i / 12 * 12)]);
        shorter.Prepare(new RotaryTable([1f], 1), CPU);
        Assert.Same(shorter.Mask, shorter.MaskFor(null, pattern));
    }

    [Theory]
    [MemberData(nameof(Decoders))]
    public void Decoders_compute_what_the_formulas_say(string name)
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["model"], RandomDecoder.Models[name]);
        var config = (DecoderConfig)ModelConfig.Load(folder["model"]);
        int[] layers = [.. Enumerable.Range(0, config.NumLayers).Where(layer => config.Window(layer) is null && (layer > 0 || config.NumLayers != 2 || name.StartsWith("Qwen", StringComparison.Ordinal)))];
        Stream(folder["model"], 4, 1, 2, layers);
        using DecoderReference reference = new(folder["model"]);
        using var model = CausalLanguageModel.Load(folder["model"]);
        long[] ids = Prompt(29, RandomDecoder.Models[name].Seed);
        var (logits, _) = reference.Run(ids);
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        float[] actual = Values(model.Logits(model.Forward(batch).Hidden));
        Close($"{name}, layers {string.Join(", ", layers)}", logits, actual, Logits);

        // Otherwise a pattern that hides nothing would pass too.
        Assert.True(Difference(FullLogits(folder["model"], ids), actual) > 1e-2);
    }

    [Theory]
    [MemberData(nameof(Patterns))]
    public void Latent_attention_computes_what_the_formulas_say(int block, int sinks, int locals)
    {
        using TemporaryFolder folder = new();
        RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Seed = block + sinks, Yarn = locals == 2, UnequalMScale = locals == 2 });
        Stream(folder["model"], block, sinks, locals, [0, 1]);
        using var checkpoint = Checkpoint.Open(folder["model"]);
        var config = (LongcatFlashConfig)checkpoint.Config;
        using var model = CausalLanguageModel.Load(checkpoint);
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        int[] starts = [.. Enumerable.Range(0, 33).Select(i => i < 7 ? 0 : 7)];
        using var batch = new SequenceBatch(Prompt(33, block), 1, 33, starts);
        float[] embedded = [], attended = [];
        model.Forward(batch, (name, value) =>
        {
            embedded = name == "hidden_states.embed" ? Values(value) : embedded;
            attended = name == "attn.0.0.output" ? Values(value) : attended;
        });
        float[] weight = checkpoint.ReadFloat32("model.layers.0.input_layernorm.0.weight");
        double[][] input = [.. embedded.Chunk(config.HiddenSize).Select(row =>
        {
            double size = Math.Sqrt((row.Sum(x => (double)x * x) / row.Length) + config.RmsNormEps);
            return (double[])[.. row.Select((x, i) => x / size * weight[i])];
        })];
        foreach (var (start, end) in ((int, int)[])[(0, 7), (7, 33)])
        {
            double[][] expected = LatentReference.Run(checkpoint, config, "model.layers.0.self_attn.0", input[start..end], (query, key) => config.Streaming!.Visible(query, key));
            Close($"block {block}, {sinks} + {locals}, tokens {start}..{end}", [.. expected.SelectMany(row => row).Select(x => (float)x)], attended[(start * config.HiddenSize)..(end * config.HiddenSize)], 1e-5);
        }
    }

    /// <summary>Which of the two attentions of a layer streams, and which layers, follows the caches' order.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Only_the_attentions_that_the_config_names_are_streaming(int attention)
    {
        using TemporaryFolder folder = new();
        RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Layers = 2, NGram = false, Mtp = true });
        long[] ids = Prompt(30, 3);
        var full = Attentions(folder["model"], ids);
        Stream(folder["model"], 2, 1, 2, [attention]);
        var sparse = Attentions(folder["model"], ids);
        string first = $"attn.{attention / 2}.{attention % 2}.output";
        foreach (var (name, values) in full)
        {
            // Everything before the streaming attention is as it was; it and what follows differ behind its span.
            bool before = string.CompareOrdinal(name, first) < 0;
            Assert.Equal(before, values.AsSpan().SequenceEqual(sparse[name]));
            Assert.Equal(values[..(6 * 48)], sparse[name][..(6 * 48)]);
        }

        using var model = (LongcatFlashForCausalLM)CausalLanguageModel.Load(folder["model"]);
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        var hidden = zeros(ids.Length, 48);
        float[] streaming = Values(model.ForwardDraft(hidden, batch));
        Clear(folder["model"]);
        using var plain = (LongcatFlashForCausalLM)CausalLanguageModel.Load(folder["model"]);
        Assert.Equal(Values(plain.ForwardDraft(hidden, batch)), streaming);
    }

    [Theory]
    [InlineData("LongCat")]
    [InlineData("Qwen2, tied")]
    public void A_packed_row_gives_each_document_the_logits_it_has_alone(string name)
    {
        using TemporaryFolder folder = new();
        if (name == "LongCat")
        {
            RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Seed = 4 });
        }
        else
        {
            RandomDecoder.Write(folder["model"], RandomDecoder.Models[name]);
        }

        Stream(folder["model"], 3, 1, 2, [1]);
        using var model = CausalLanguageModel.Load(folder["model"]);
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        int[] lengths = [11, 1, 28, 20, 20];
        long[] ids = Prompt(80, seed: 1);
        var starts = new int[80];
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            Array.Fill(starts, at % 40, at, lengths[d]);
        }

        using var packed = new SequenceBatch(ids, 2, 40, starts);
        var together = model.Logits(model.Forward(packed).Hidden);
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            using var alone = new SequenceBatch(ids[at..(at + lengths[d])], 1, lengths[d]);
            Close($"{name} document {d}", Values(model.Logits(model.Forward(alone).Hidden)), Values(together.narrow(0, at, lengths[d])), 2e-5);
        }
    }

    [Fact]
    public void An_attention_that_the_model_does_not_have_or_that_has_a_window_is_refused()
    {
        StreamingAttentionConfig pattern = new() { AttentionLayers = [2] };
        Assert.Contains("attentions", Assert.Throws<ArgumentException>(() => CausalLanguageModel.Create(TinyConfig.Read() with { Streaming = pattern })).Message, StringComparison.Ordinal);
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["model"], RandomDecoder.Models["Mistral"]);
        ModelConfig windowed = ModelConfig.Load(folder["model"]) with { Streaming = new StreamingAttentionConfig { AttentionLayers = [1] } };
        Assert.Contains("window", Assert.Throws<ArgumentException>(() => CausalLanguageModel.Create(windowed)).Message, StringComparison.Ordinal);
    }

    internal static void Stream(string folder, int block, int sinks, int locals, int[] attentions)
    {
        var editor = ConfigEditor.Load(folder);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = block, SinkBlocks = sinks, LocalBlocks = locals, AttentionLayers = attentions });
        editor.Save(folder);
    }

    internal static long[] Prompt(int length, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(3, 272))];
    }

    internal static float[] Values(Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.detach().contiguous().bytes).ToArray();

    internal static double Difference(float[] expected, float[] actual) => expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();

    private static float[] FullLogits(string folder, long[] ids)
    {
        Clear(folder);
        using var model = CausalLanguageModel.Load(folder);
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        return Values(model.Logits(model.Forward(batch).Hidden));
    }

    private static void Clear(string folder)
    {
        var editor = ConfigEditor.Load(folder);
        editor.SetStreaming(null);
        editor.Save(folder);
    }

    private static Dictionary<string, float[]> Attentions(string folder, long[] ids)
    {
        using var model = CausalLanguageModel.Load(folder);
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        Dictionary<string, float[]> seen = [];
        model.Forward(batch, (name, value) =>
        {
            if (name.StartsWith("attn.", StringComparison.Ordinal))
            {
                seen[name] = Values(value);
            }
        });
        return seen;
    }

    private void Close(string what, float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = Difference(expected, actual);
        output.WriteLine($"{what}: largest difference {largest:E2} of {tolerance:E0} allowed; largest value {expected.Max(Math.Abs):F1}");
        Assert.True(largest <= tolerance && actual.All(float.IsFinite), $"{what}: largest difference {largest:E3}, allowed {tolerance:E1}");
    }
}
