using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>What <c>longcat inspect</c> prints.</summary>
public sealed class CheckpointSummaryTests(ITestOutputHelper output)
{
    [Fact]
    public void A_small_checkpoint_is_described_line_by_line()
    {
        using CheckpointFolder folder = new();
        folder.Write("config.json", CheckpointFolder.FlashConfig.Replace("LongcatFlashForCausalLM", "LongcatFlashNgramForCausalLM")
            .Replace("\"vocab_size\"", "\"ngram_vocab_size_ratio\": 3, \"emb_neighbor_num\": 3, \"emb_split_num\": 2, \"vocab_size\""));
        ModelConfig config = ModelConfig.Load(folder.Path);
        folder.WriteTensors("model.safetensors", config.ExpectedTensors(withMtp: false).Select(t => new TensorDeclaration(t.Name,
            t.Group == TensorGroup.Router ? TensorType.Float32 : TensorType.BFloat16, t.Shape)));
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        CheckpointSummary summary = CheckpointSummary.Of(checkpoint);
        string text = summary.ToText();
        output.WriteLine(text);
        Assert.True(summary.FitsConfig);
        Assert.Equal(checkpoint.Tensors.Values.Sum(t => t.ElementCount), summary.Parameters);
        Assert.Equal(checkpoint.Tensors.Values.Sum(t => t.ByteLength), summary.Bytes);
        Assert.Equal(summary.Parameters, summary.Groups.Sum(g => g.Parameters));
        Assert.Equal($"""
            LongcatFlashNgramForCausalLM · 6,239 parameters in 43 tensors · 12.6 kB in 1 file
              folder      {folder.Path}
              types       BF16 12.4 kB (41 tensors), F32 204 B (2 tensors)
              model       1 layer, hidden size 16, 2 heads, vocabulary 32
              attention   latent, 2 per layer; ranks 8 and 6; per head 4 + 4 rotated, value 4
              cache       10 values per token and attention, 20 per token
              experts     2 routed and 1 zero (identity) per layer, 2 per token, weights × 1.5
              n-grams     2 to 3 tokens, 4 tables (2 per order) of 97 to 103 rows × 4
              draft head  none
              context     64 tokens, rotary base 10,000, not extended
              tokens      begin 1, end 2

              group         tensors          parameters   share       size
              embedding           1                 512    8.2%     1.0 kB
              n-grams             8               1,856   29.7%     3.7 kB
              attention          14               1,308   21.0%     2.6 kB
              dense               6               1,152   18.5%     2.3 kB
              experts             6                 768   12.3%     1.5 kB
              router              2                  51    0.8%      204 B
              norms               5                  80    1.3%      160 B
              head                1                 512    8.2%     1.0 kB
              total              43               6,239            12.6 kB

            The tensors fit the config.

            """.ReplaceLineEndings("\n"), text);
    }

    [Fact]
    public void Streaming_attentions_are_listed_in_runs()
    {
        using CheckpointFolder folder = new();
        folder.Write("config.json", CheckpointFolder.FlashConfig.Replace("\"num_layers\": 1", "\"num_layers\": 4")
            .Replace("\"vocab_size\"", "\"streaming_sparse_attention\": {\"local_blocks\": 11, \"attention_layers\": [0, 2, 3, 4, 7]}, \"vocab_size\""));
        ModelConfig config = ModelConfig.Load(folder.Path);
        folder.WriteTensors("model.safetensors", config.ExpectedTensors(withMtp: false).Select(t => new TensorDeclaration(t.Name, TensorType.Float32, t.Shape)));
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        Assert.Contains("\n  streaming   5 of 8 attentions (0, 2-4, 7): 1 first and 11 latest blocks of 128, at most 1,536 tokens\n  context ", CheckpointSummary.Of(checkpoint).ToText());
    }

    [GoldenFact]
    public void The_draft_head_and_both_shards_are_counted()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("longcat-flash-sharded"));
        CheckpointSummary summary = CheckpointSummary.Of(checkpoint);
        output.WriteLine(summary.ToText());
        Assert.True(summary.FitsConfig);
        Assert.Equal(17, summary.Groups.Single(g => g.Group == TensorGroup.Mtp).Tensors);
        Assert.Equal(2, summary.FileCount);
        Assert.Contains("draft head  1 step with 1 layer", summary.ToText());
    }

    [GoldenFact]
    public void A_checkpoint_that_does_not_fit_is_described_with_its_misfits()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("broken", "config-mismatch"));
        CheckpointSummary summary = CheckpointSummary.Of(checkpoint);
        output.WriteLine(summary.ToText());
        Assert.False(summary.FitsConfig);
        Assert.Contains("3 missing, 0 extra, 2 with the wrong shape or type", summary.ToText());
        Assert.Contains("model.layers.0.mlp.experts.2.gate_proj.weight", summary.Missing);
    }
}
