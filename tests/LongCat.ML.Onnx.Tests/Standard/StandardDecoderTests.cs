using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// The plain decoders with standard operators against a double-precision reference, on small random models of every family: windows, biases and tied heads
/// occur in no golden fixture. GroupQueryAttention rotates heads of 16 itself; heads of 24 are rotated before it.
/// </summary>
public sealed class StandardDecoderTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, int> Cases
    {
        get
        {
            TheoryData<string, int> cases = [];
            foreach (string model in RandomDecoder.Models.Keys)
            {
                cases.Add(model, 16);
            }

            cases.Add("Mistral", 24);
            cases.Add("Qwen3 with biases", 24);
            return cases;
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_graphs_compute_what_the_formulas_say_however_the_tokens_are_cut(string name, int headDim)
    {
        Check(name, RandomDecoder.Models[name] with { HeadDim = headDim });
    }

    [Fact]
    public void Bfloat16_checkpoints_are_widened() =>
        Check("Llama, bfloat16, llama3 rope", new RandomDecoderOptions { HeadDim = 32, BFloat16 = true, Llama3Rope = true, MaxPositions = 64 });

    [Fact]
    public void Head_sizes_that_the_operator_refuses_are_refused_at_the_export()
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => Export(new RandomDecoderOptions { HeadDim = 12 }));
        Assert.Contains("head_dim is 12", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    [Fact]
    public void A_tied_head_is_stored_once()
    {
        long tied = Export(new RandomDecoderOptions { HeadDim = 16, VocabSize = 4000, Tied = true }).DataBytes;
        Assert.InRange(tied, 4000 * 48 * 4, 2 * 4000 * 48 * 4);
    }

    [Fact]
    public void GenAI_finds_its_config_where_it_knows_the_family()
    {
        ExportResult mistral = Export(new RandomDecoderOptions { Architecture = "MistralForCausalLM", HeadDim = 16, Window = 7 });
        Assert.Contains("genai_config.json", mistral.Manifest.Files.Keys);
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(mistral.Folder, "genai_config.json")));
        JsonElement model = document.RootElement.GetProperty("model");
        JsonElement decoder = model.GetProperty("decoder");
        Assert.Equal(("mistral", 272, 256), (model.GetProperty("type").GetString(), model.GetProperty("vocab_size").GetInt32(), model.GetProperty("context_length").GetInt32()));
        Assert.Equal(
            (16, 48, 4, 2, 2),
            (decoder.GetProperty("head_size").GetInt32(), decoder.GetProperty("hidden_size").GetInt32(), decoder.GetProperty("num_attention_heads").GetInt32(),
                decoder.GetProperty("num_key_value_heads").GetInt32(), decoder.GetProperty("num_hidden_layers").GetInt32()));
        Assert.True(document.RootElement.GetProperty("search").GetProperty("past_present_share_buffer").GetBoolean());

        // Every name it gives is one of the graph; inputs of the graph that it does not give have a default.
        using PaddedGraphRunner runner = new(mistral.Folder, 1);
        string[] given = [.. decoder.GetProperty("inputs").EnumerateObject().Select(input => input.Value.GetString()!)];
        string[] named = [.. given.SelectMany(name => name.Contains("%d", StringComparison.Ordinal) ? [name.Replace("%d", "0", StringComparison.Ordinal), name.Replace("%d", "1", StringComparison.Ordinal)] : (string[])[name])];
        Assert.Equal(runner.InputNames.Order(), named.Order());
    }

    private void Check(string name, RandomDecoderOptions options)
    {
        string export = Export(options).Folder;
        using DecoderReference reference = new(_folder["in"]);
        Random random = new(options.Seed);
        long[][] prompts = [.. ((int[])[24, 19]).Select(length => Enumerable.Range(0, length).Select(_ => (long)random.Next(options.VocabSize)).ToArray())];
        float[][] expected = [.. prompts.Select(prompt => reference.Run(prompt).Logits)];

        using PaddedGraphRunner together = new(export, 2);
        float[][] prefill = together.Run(prompts);
        Compare($"{name} prefill", expected[0], prefill[0]);
        Compare($"{name} prefill, shorter row", expected[1], prefill[1]);

        using PaddedGraphRunner chunked = new(export, 1, inPlace: false);
        int done = 0;
        List<float> logits = [];
        foreach (int length in (int[])[7, 1, 5, 10, 1])
        {
            logits.AddRange(chunked.Run([prompts[0][done..(done += length)]])[0]);
        }

        Compare($"{name} chunks", expected[0], [.. logits]);

        // Behind prompts of different lengths both go on token by token.
        using PaddedGraphRunner stepped = new(export, 2);
        float[][] step = stepped.Run([prompts[0][..9], prompts[1][..4]]);
        List<float>[] rows = [[.. step[0]], [.. step[1]]];
        for (int i = 0; i < 15; i++)
        {
            step = stepped.Run([[prompts[0][9 + i]], [prompts[1][4 + i]]]);
            rows[0].AddRange(step[0]);
            rows[1].AddRange(step[1]);
        }

        Compare($"{name} token by token", expected[0], [.. rows[0]]);
        Compare($"{name} token by token, shorter row", expected[1], [.. rows[1]]);
    }

    private void Compare(string what, float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (x, y) => Math.Abs((double)x - y)).Max();
        output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / Golden.LogitsTolerance:P0} of the tolerance");
        Assert.True(largest <= Golden.LogitsTolerance, $"{what}: max abs diff {largest:E2}");
    }

    private ExportResult Export(RandomDecoderOptions options) =>
        OnnxExporter.Export(RandomDecoder.Write(_folder["in"], options), _folder["out"], new ExportOptions { Operators = OperatorSet.Standard });
}
