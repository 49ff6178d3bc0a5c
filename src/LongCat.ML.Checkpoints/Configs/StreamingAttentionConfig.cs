using System.Collections.ObjectModel;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Streaming sparse attention (LongCat ZigZag, arXiv 2512.23966): attentions that see the first blocks of the context and the latest ones, and nothing between them.
/// With whole-number division and absolute positions, the query at p sees the key at j when j ≤ p and
/// (j / <see cref="BlockSize"/> &lt; <see cref="SinkBlocks"/> or j / <see cref="BlockSize"/> &gt; p / <see cref="BlockSize"/> - <see cref="LocalBlocks"/>).
/// Immutable, and safe from any number of threads.
/// </summary>
public sealed partial record StreamingAttentionConfig
{
    /// <summary>The name of the object in config.json.</summary>
    public const string Key = "streaming_sparse_attention";

    // Together they keep a span below 2^31.
    private const int MostBlockSize = 1 << 16;
    private const int MostBlocks = 1 << 13;

    private readonly int blockSize = 128;
    private readonly int sinkBlocks = 1;
    private readonly int localBlocks = 7;
    private readonly ReadOnlyCollection<int> attentionLayers = ReadOnlyCollection<int>.Empty;

    /// <summary><c>block_size</c>: tokens of a block; 1 to 65,536.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int BlockSize
    {
        get => blockSize;
        init => blockSize = InRange(value, 1, MostBlockSize, nameof(BlockSize));
    }

    /// <summary><c>sink_blocks</c>: blocks at the start of the context that every query sees; 0 to 8,192.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int SinkBlocks
    {
        get => sinkBlocks;
        init => sinkBlocks = InRange(value, 0, MostBlocks, nameof(SinkBlocks));
    }

    /// <summary><c>local_blocks</c>: latest blocks that a query sees, its own (begun) block included; 1 to 8,192.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int LocalBlocks
    {
        get => localBlocks;
        init => localBlocks = InRange(value, 1, MostBlocks, nameof(LocalBlocks));
    }

    /// <summary>
    /// <c>attention_layers</c>: the attentions that stream, ascending, each once, counted as the caches are (in LongCat 2·layer + sub-layer, elsewhere the layer). The
    /// draft layer is never one of them.
    /// </summary>
    /// <exception cref="ArgumentException">The list is empty, not ascending, or has a negative or repeated index.</exception>
    public required IReadOnlyList<int> AttentionLayers
    {
        get => attentionLayers;
        init
        {
            ArgumentNullException.ThrowIfNull(value, nameof(AttentionLayers));
            int[] layers = [.. value];
            if (layers.Length == 0)
            {
                throw new ArgumentException("the list is empty, expected at least one attention (a model without streaming attentions has no such config)", nameof(AttentionLayers));
            }

            for (int i = 0; i < layers.Length; i++)
            {
                if (layers[i] < 0 || (i > 0 && layers[i] <= layers[i - 1]))
                {
                    throw new ArgumentException($"entry {i} is {layers[i]}, expected {(i == 0 ? "at least 0" : $"more than the entry before it ({layers[i - 1]})")}", nameof(AttentionLayers));
                }
            }

            attentionLayers = Array.AsReadOnly(layers);
        }
    }

    /// <summary>The most tokens that a query can see: (<see cref="SinkBlocks"/> + <see cref="LocalBlocks"/>) · <see cref="BlockSize"/>.</summary>
    public int Span => (SinkBlocks + LocalBlocks) * BlockSize;

    /// <summary>The tokens at the start of the context that every query sees: <see cref="SinkBlocks"/> · <see cref="BlockSize"/>.</summary>
    public int SinkTokens => SinkBlocks * BlockSize;

    /// <summary>Whether an attention streams.</summary>
    /// <param name="attention">The attention, counted as in <see cref="AttentionLayers"/>.</param>
    /// <returns>Whether it is one of <see cref="AttentionLayers"/>.</returns>
    public bool IsStreaming(int attention) => attentionLayers.Contains(attention);

    /// <summary>Whether a query sees a key.</summary>
    /// <param name="query">Absolute position of the query, from 0.</param>
    /// <param name="key">Absolute position of the key, from 0.</param>
    /// <returns>Whether the key is at most as far as the query and lies in a sink block or in one of the latest blocks.</returns>
    public bool Visible(long query, long key) =>
        key <= query && (key / BlockSize < SinkBlocks || key / BlockSize > (query / BlockSize) - LocalBlocks);

    /// <summary>Where the latest blocks of a query begin: it sees no key before that but those of the sink blocks.</summary>
    /// <param name="query">Absolute position of the query, from 0.</param>
    /// <returns>An absolute position, a multiple of <see cref="BlockSize"/>; it never falls as the query moves on.</returns>
    public long LocalStart(long query) => Math.Max(0, (query / BlockSize) - LocalBlocks + 1) * BlockSize;

    /// <summary>Refuses attentions that a model does not have or that cannot stream.</summary>
    /// <param name="model">The model that is to have these streaming attentions.</param>
    /// <exception cref="ArgumentException">An index is too large, its attention has a sliding window, or the model has indexers.</exception>
    public void Validate(ModelConfig model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (Misfit(model) is { } misfit)
        {
            throw new ArgumentException($"{nameof(AttentionLayers)} has {misfit.Got}, expected {misfit.Expected}", nameof(model));
        }
    }

    /// <summary>Two configs are equal when all values and all attentions are.</summary>
    /// <param name="other">The other one.</param>
    /// <returns>Whether both say the same.</returns>
    public bool Equals(StreamingAttentionConfig? other) =>
        other is not null && BlockSize == other.BlockSize && SinkBlocks == other.SinkBlocks && LocalBlocks == other.LocalBlocks
        && attentionLayers.SequenceEqual(other.attentionLayers);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(BlockSize, SinkBlocks, LocalBlocks, attentionLayers.Count, attentionLayers[0], attentionLayers[^1]);

    /// <summary>What does not fit: the attention that attention_layers has, and what was expected; null where everything fits.</summary>
    private (string Got, string Expected)? Misfit(ModelConfig model)
    {
        if (attentionLayers[^1] >= model.NumAttentions)
        {
            return ($"{attentionLayers[^1]}", $"indexes from 0 to {model.NumAttentions - 1}: the model has {model.NumAttentions} attentions ({(model.NumAttentions == model.NumLayers ? "one" : "two")} in each of {model.NumLayers} layers)");
        }

        if (model is LongcatFlashConfig { Indexer: not null })
        {
            return ($"{attentionLayers[0]}", "no streaming attentions: the model's indexers choose what its attentions see");
        }

        if (model is DecoderConfig decoder)
        {
            foreach (int layer in attentionLayers)
            {
                if (decoder.Window(layer) is int window)
                {
                    return ($"{layer}", $"layers without a sliding window: layer {layer} has one of {window} tokens");
                }
            }
        }

        return null;
    }

    private static int InRange(int value, int least, int most, string name) => value >= least && value <= most
        ? value
        : throw new ArgumentOutOfRangeException(name, value, $"expected a whole number from {least} to {most}");
}
