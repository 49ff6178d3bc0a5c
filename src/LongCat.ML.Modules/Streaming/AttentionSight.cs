using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>What the queries of one attention see: all of their document, a window, a streaming pattern (2512.23966), what an indexer chose, or, while calibrating, full and streaming attention blended.</summary>
internal sealed class AttentionSight
{
    private readonly int _heads;
    private readonly int? _window;
    private readonly StreamingAttentionConfig? _streaming;

    /// <param name="config">The model's settings.</param>
    /// <param name="attention">The attention as caches count them; null for one that no cache counts (the draft head's), which is always full.</param>
    /// <param name="window">A sliding window's tokens, or null.</param>
    public AttentionSight(ModelConfig config, int? attention, int? window = null)
    {
        _heads = config.NumAttentionHeads;
        _window = window;
        _streaming = attention is int index && config.Streaming is { } streaming && streaming.IsStreaming(index) ? streaming : null;
    }

    /// <summary>Bytes of one attention's scores above which they are computed in tiles. Below, a whole matrix is quicker than computing its weights twice.</summary>
    public long WholeBytes { get; init; } = 32 << 20;

    /// <summary>Bytes of a tile's scores.</summary>
    public long TileBytes { get; init; } = 8 << 20;

    /// <summary>Whether all of the document before a query is seen.</summary>
    public bool IsFull => _window is null && _streaming is null;

    /// <summary>While calibrating: the pattern and α, a tensor of no dimension that gradients reach.</summary>
    public (StreamingAttentionConfig Pattern, Func<Tensor> Alpha)? Blend { get; set; }

    /// <summary>What the attention makes of queries, keys and values.</summary>
    /// <param name="query">[B·kv heads, group·S, dim], scaled; the heads that share a key head one after another.</param>
    /// <param name="key">[B·kv heads, S, dim].</param>
    /// <param name="value">[B·kv heads, S, width].</param>
    /// <param name="batch">The geometry of the rows, prepared.</param>
    /// <param name="chosen">The mask [B, 1, S, S] of the keys that an indexer chose (a model with indexers has no other pattern), or null.</param>
    /// <returns>[B·kv heads, group·S, width]; blended α · full + (1 - α) · streaming while calibrating.</returns>
    public Tensor Attend(Tensor query, Tensor key, Tensor value, SequenceBatch batch, Tensor? chosen = null)
    {
        Func<StreamingAttentionConfig?, bool, Tensor> attend;
        if (AttentionTiles.AreWorthIt(batch, _heads, WholeBytes))
        {
            attend = (streaming, _) => BlockwiseAttention.Run(query, key, value, new AttentionTiles(batch, _heads, _window, streaming, chosen) { TileBytes = TileBytes });
        }
        else
        {
            // Not baddbmm: TorchSharp 0.107 hands its operands to libtorch in the wrong order.
            var scores = query.bmm(key.transpose(1, 2));
            attend = (streaming, last) => Weights(scores, chosen ?? batch.MaskFor(_window, streaming), last).view(key.shape[0], query.shape[1], batch.Columns).bmm(value);
        }

        if (Blend is not { } blend)
        {
            return attend(_streaming, true);
        }

        var full = attend(null, false);
        var sparse = attend(blend.Pattern, true);
        return sparse.add(full.sub(sparse).mul(blend.Alpha()));

        // One mask serves all heads. Neither sum nor softmax needs its input for the backward pass, so the largest tensors of a layer are freed as soon as they were read.
        Tensor Weights(Tensor scores, Tensor mask, bool last)
        {
            using var byHead = scores.view(batch.Rows, _heads, batch.Columns, batch.Columns);
            using var masked = byHead.add(mask);
            if (last)
            {
                scores.Dispose();
            }

            return masked.softmax(-1);
        }
    }
}
