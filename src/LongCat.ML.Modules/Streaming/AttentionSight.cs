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

    /// <summary>Whether all of the document before a query is seen.</summary>
    public bool IsFull => _window is null && _streaming is null;

    /// <summary>While calibrating: the pattern and α, a tensor of no dimension that gradients reach.</summary>
    public (StreamingAttentionConfig Pattern, Func<Tensor> Alpha)? Blend { get; set; }

    /// <summary>Attention weights and what they make of the values.</summary>
    /// <param name="scores">B·heads·S·S values in this order, scaled and not masked; disposed.</param>
    /// <param name="batch">The geometry of the rows, prepared.</param>
    /// <param name="mix">Weights [B·heads, S, S] to outputs.</param>
    /// <param name="chosen">The mask of the keys that an indexer chose (a model with indexers has no other pattern), or null.</param>
    /// <returns>What <paramref name="mix"/> returns; blended α · full + (1 - α) · streaming while calibrating.</returns>
    public Tensor Attend(Tensor scores, SequenceBatch batch, Func<Tensor, Tensor> mix, Tensor? chosen = null)
    {
        if (Blend is not { } blend)
        {
            return mix(Weights(chosen ?? batch.MaskFor(_window, _streaming), last: true));
        }

        var full = mix(Weights(batch.MaskFor(_window), last: false));
        var streaming = mix(Weights(batch.MaskFor(_window, blend.Pattern), last: true));
        return streaming.add(full.sub(streaming).mul(blend.Alpha()));

        // One mask serves all heads. Neither sum nor softmax needs its input for the backward pass, so the largest tensors of a layer are freed as soon as they were read.
        Tensor Weights(Tensor mask, bool last)
        {
            using var byHead = scores.view(batch.Rows, _heads, batch.Columns, batch.Columns);
            using var masked = byHead.add(mask);
            if (last)
            {
                scores.Dispose();
            }

            return masked.softmax(-1).view(batch.Rows * _heads, batch.Columns, batch.Columns);
        }
    }
}
