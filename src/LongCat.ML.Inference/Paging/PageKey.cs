using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace LongCat.ML.Inference.Paging;

/// <summary>
/// What a whole page holds: the SHA-256 of the key of the page before and of the page's own tokens. Two pages with one key hold the same keys and values, because these
/// depend on all tokens up to them and on the adapter. A key needs no page: it stays comparable where the pages before were given back.
/// </summary>
internal readonly record struct PageKey(ulong A, ulong B, ulong C, ulong D)
{
    private const int Bytes = 4 * sizeof(ulong);

    /// <summary>
    /// The key of the empty beginning. Keys and values depend on the weights that made them, so requests of different adapters have nothing in common, whatever their tokens.
    /// </summary>
    /// <param name="adapter">The adapter's index, -1 for none.</param>
    public static PageKey RootOf(int adapter) => new((ulong)(adapter + 1), 0, 0, 0);

    /// <summary>The key of the next page.</summary>
    public PageKey Next(ReadOnlySpan<int> tokens)
    {
        int length = Bytes + (tokens.Length * sizeof(int));
        Span<byte> content = length <= 1024 ? stackalloc byte[length] : new byte[length];
        MemoryMarshal.Write(content, in this);
        MemoryMarshal.AsBytes(tokens).CopyTo(content[Bytes..]);
        PageKey key = default;
        SHA256.HashData(content, MemoryMarshal.AsBytes(new Span<PageKey>(ref key)));
        return key;
    }

    /// <summary>Part of a digest is a hash already.</summary>
    public override int GetHashCode() => (int)A;
}
