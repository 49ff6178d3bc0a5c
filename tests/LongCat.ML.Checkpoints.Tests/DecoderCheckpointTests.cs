using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Checkpoints of the decoder families: validation, tied heads, and what <c>longcat inspect</c> prints.</summary>
public sealed class DecoderCheckpointTests(ITestOutputHelper output)
{
    [GoldenTheory]
    [InlineData("llama")]
    [InlineData("llama3-rope")]
    [InlineData("qwen3")]
    [InlineData("mixtral")]
    [InlineData("qwen3-moe")]
    public void The_golden_checkpoints_fit_their_configs(string fixture)
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path(fixture));
        checkpoint.Validate();
        CheckpointSummary summary = CheckpointSummary.Of(checkpoint);
        output.WriteLine(summary.ToText());
        Assert.True(summary.FitsConfig);
        Assert.Equal(checkpoint.Config.ExpectedTensors(false).Count, checkpoint.Tensors.Count);
    }

    [Theory]
    [InlineData(0f, null)]
    [InlineData(1f, "tensor lm_head.weight differs from model.embed_tokens.weight, although tie_word_embeddings is true")]
    public void A_tied_head_may_be_stored_as_long_as_it_is_the_embedding(float added, string? problem)
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["tied"], new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM", Tied = true });
        Rewrite(folder["tied"], values => (values["lm_head.weight"] = [.. values["model.embed_tokens.weight"]])[^1] += added, ("lm_head.weight", [272, 48]));

        using Checkpoint checkpoint = Checkpoint.Open(folder["tied"]);
        Assert.True(CheckpointSummary.Of(checkpoint).FitsConfig);
        if (problem is null)
        {
            checkpoint.Validate();
        }
        else
        {
            Assert.Contains(problem, Assert.Throws<CheckpointException>(() => checkpoint.Validate()).Message);
        }
    }

    [Fact]
    public void Missing_extra_and_misfitting_tensors_are_listed_together()
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["broken"], new RandomDecoderOptions { Architecture = "Qwen2ForCausalLM", Tied = true });
        Rewrite(folder["broken"], values =>
        {
            values.Remove("model.layers.1.self_attn.k_proj.bias");
            values["model.layers.0.self_attn.o_proj.bias"] = new float[48];
            values["lm_head.weight"] = new float[48];
        }, ("model.layers.0.self_attn.o_proj.bias", [48]), ("lm_head.weight", [1, 48]));

        using Checkpoint checkpoint = Checkpoint.Open(folder["broken"]);
        string message = Assert.Throws<CheckpointException>(() => checkpoint.Validate()).Message;
        Assert.Contains("1 missing, 1 extra, 1 with the wrong shape or type", message);
        Assert.Contains("tensor model.layers.1.self_attn.k_proj.bias [24] is missing", message);
        Assert.Contains("tensor model.layers.0.self_attn.o_proj.bias is in the checkpoint, the config calls for none", message);
        Assert.Contains("tensor lm_head.weight has shape [1, 48], the config calls for [272, 48] or, since heads are tied, none", message);
    }

    [Fact]
    public void A_decoder_is_described_line_by_line()
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["model"], new RandomDecoderOptions { Architecture = "Qwen3MoeForCausalLM", Window = 9, FirstWindowLayer = 1, HeadDim = 16, Tied = true, Llama3Rope = true });
        using Checkpoint checkpoint = Checkpoint.Open(folder["model"]);
        string text = CheckpointSummary.Of(checkpoint).ToText();
        output.WriteLine(text);
        Assert.Equal($"""
            Qwen3MoeForCausalLM · 69,040 parameters in 44 tensors · 276.2 kB in 1 file
              folder      {folder["model"]}
              types       F32 276.2 kB (44 tensors)
              model       2 layers, hidden size 48, 4 heads, vocabulary 272
              attention   4 query heads over 2 key and value heads of 16, query and key norms
              windows     9 tokens in 1 of 2 layers
              cache       64 values per token and attention, 128 per token
              experts     4 of width 32 in 2 layers, 2 per token, weights sum to 1
              head        the word embedding (tied)
              context     256 tokens, rotary base 10,000, Llama-3 rule ×4 over 64
              tokens      begin 1, end 2

            """.ReplaceLineEndings("\n"), text[..(text.IndexOf("\n\n", StringComparison.Ordinal) + 1)]);
        Assert.Contains("The tensors fit the config.", text);
    }

    /// <summary>Writes the checkpoint's tensors again after a change; tensors that are new need a shape.</summary>
    private static void Rewrite(string folder, Action<Dictionary<string, float[]>> change, params (string Name, long[] Shape)[] shapes)
    {
        Dictionary<string, float[]> values = [];
        Dictionary<string, long[]> known = shapes.ToDictionary(s => s.Name, s => s.Shape);
        using (Checkpoint checkpoint = Checkpoint.Open(folder))
        {
            foreach (string name in checkpoint.Tensors.Keys)
            {
                values[name] = checkpoint.ReadFloat32(name);
                known.TryAdd(name, [.. checkpoint.Tensors[name].Shape]);
            }
        }

        change(values);
        using SafetensorsWriter writer = SafetensorsWriter.Create(Path.Combine(folder, "model.safetensors"), values.Keys.Select(n => new TensorDeclaration(n, TensorType.Float32, known[n])));
        foreach ((string name, float[] data) in values)
        {
            writer.Write(name, data);
        }

        writer.Complete();
    }
}
