using System.Numerics;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Paging;

/// <summary>
/// Which pages a streaming attention still reads: the first blocks and the last ones, in whole blocks of absolute positions (LoZA, arXiv 2512.23966).
/// A query at p sees the key at j when j ≤ p and (j / block &lt; sink or j / block &gt; p / block - local).
/// </summary>
internal sealed class StreamingPattern
{
    private readonly int _block;
    private readonly int _sink;
    private readonly int _local;
    private readonly int _page;

    public StreamingPattern(int blockSize, int sinkBlocks, int localBlocks, int pageSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blockSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(sinkBlocks, 0);
        ArgumentOutOfRangeException.ThrowIfLessThan(localBlocks, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        (_block, _sink, _local, _page) = (blockSize, sinkBlocks, localBlocks, pageSize);
        long sinkTokens = (long)sinkBlocks * blockSize;
        SinkPages = (int)Math.Min(int.MaxValue / 4, (sinkTokens + pageSize - 1) / pageSize);

        // A window begins with a block, which need not begin a page: it may lie up to a page less the common divisor behind the page's first token.
        long offset = pageSize - (long)BigInteger.GreatestCommonDivisor(blockSize, pageSize);
        WindowPages = SinkPages + (int)Math.Min(int.MaxValue / 4, (offset + ((long)localBlocks * blockSize) + pageSize - 1) / pageSize);
    }

    /// <summary>The pattern of an exported model's streaming attentions, or null where it has none.</summary>
    public static StreamingPattern? Of(ModelManifest manifest, int pageSize) => manifest.Streaming is { } streaming
        ? new StreamingPattern(streaming.BlockSize, streaming.SinkBlocks, streaming.LocalBlocks, pageSize)
        : null;

    /// <summary>Whether a cache of an exported model is a streaming attention's.</summary>
    public static bool IsStreaming(ModelManifest manifest, int cache) => manifest.Streaming?.IsStreaming(cache) ?? false;

    /// <summary>Pages from the first one on that are never given back.</summary>
    public int SinkPages { get; }

    /// <summary>The most pages that one token reads and writes, sinks included.</summary>
    public int WindowPages { get; }

    /// <summary>The most pages that one token and so many before it read and write, sinks included.</summary>
    public int PagesOf(int before) => before == 0 ? WindowPages : WindowPages + (int)Math.Min(int.MaxValue / 4, ((long)before + _page - 1) / _page);

    /// <summary>Whether a query sees a key; absolute positions.</summary>
    public bool Visible(long query, long key) => key <= query && (key / _block < _sink || key / _block > (query / _block) - _local);

    /// <summary>The first page behind the sinks that the token at a position, or any later one, reads.</summary>
    public int FirstPage(int position) => (int)(Math.Max(0, (position / _block) - (long)_local + 1) * _block / _page);
}
