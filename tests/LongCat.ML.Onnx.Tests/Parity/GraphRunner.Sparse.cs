using LongCat.ML.Checkpoints;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

internal sealed partial class GraphRunner
{
    private readonly Dictionary<int, float[]> _means;

    /// <summary>Block size, dense length, share of the rest in thousandths, sink blocks, local blocks.</summary>
    public int[] SparseAttention { get; set; } = new int[5];

    /// <summary>Channels below it are left out.</summary>
    public float Threshold { get; set; }

    /// <summary>The most experts of a row that are left out, by the static rule.</summary>
    public int SkippedExperts { get; set; }

    /// <summary>Which attentions choose; null for all of them.</summary>
    public byte[]? Anchors { get; set; }

    /// <summary>The attentions whose sets the graph puts out, and what it put out in the last step.</summary>
    public Dictionary<int, int[]> Blocks { get; } = [];

    /// <summary>Sets of a sequence and attention: kv heads, 1 with latent attention.</summary>
    public int BlockHeads { get; init; } = 1;

    private SparseVerificationLayout? Sparse => _draft ? null : _manifest.SparseVerification;

    /// <summary>What was never written shows in the choice.</summary>
    private Dictionary<int, float[]> NewMeans() =>
        Sparse is null ? [] : Enumerable.Range(0, Sparse.Attentions).Where(i => Sparse.MeanWidths[i] > 0).ToDictionary(i => i, i => Enumerable.Repeat(float.NaN, PageCount * Sparse.MeanWidths[i]).ToArray());

    private void AddSparse(IReadOnlyList<RunnerChunk> chunks, List<(string Name, OrtValue Value)> inputs, List<(string Name, OrtValue Value)> outputs)
    {
        if (Sparse is not { } sparse)
        {
            return;
        }

        byte[] rows = [.. chunks.SelectMany(chunk => Enumerable.Repeat((byte)(chunk.Sparse ? 1 : 0), chunk.Tokens.Length))];
        inputs.Add(("sparse_rows", OrtValue.CreateTensorValueFromMemory(rows, [rows.Length])));
        inputs.Add(("sparse_attention", OrtValue.CreateTensorValueFromMemory(SparseAttention, [5])));
        byte[] anchors = Anchors ?? [.. Enumerable.Repeat((byte)1, sparse.Attentions)];
        inputs.Add(("sparse_anchors", OrtValue.CreateTensorValueFromMemory(anchors, [anchors.Length])));
        inputs.Add(("sparse_tau", OrtValue.CreateTensorValueFromMemory(new[] { Threshold }, [1])));
        if (sparse.MoeLayers > 0)
        {
            inputs.Add(("sparse_experts", OrtValue.CreateTensorValueFromMemory(new[] { SkippedExperts }, [1])));
            float[] betas = [.. Enumerable.Repeat(1f, sparse.MoeLayers * (sparse.TopK - 1))];
            inputs.Add(("sparse_expert_betas", OrtValue.CreateTensorValueFromMemory(betas, [sparse.MoeLayers, sparse.TopK - 1])));
        }

        foreach ((int attention, float[] means) in _means)
        {
            long[] shape = [PageCount, sparse.MeanWidths[attention]];
            inputs.Add(($"block_means.{attention}", OrtValue.CreateTensorValueFromMemory(means, shape)));
            outputs.Add(($"block_means_out.{attention}", OrtValue.CreateTensorValueFromMemory(means, shape)));
        }

        int block = SparseAttention[0];
        int words = Math.Max(1, ((chunks.Max(chunk => chunk.Sequence.Pages.Count) * PageSize) + (32 * block) - 1) / Math.Max(1, 32 * block));
        foreach (int attention in Blocks.Keys.ToArray())
        {
            Blocks[attention] = new int[chunks.Count * BlockHeads * words];
            outputs.Add(($"sparse_blocks.{attention}", OrtValue.CreateTensorValueFromMemory(Blocks[attention], [chunks.Count, BlockHeads, words])));
        }
    }
}
