using System.Buffers;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>A byte-level vocabulary: every byte is a symbol, spelled in the byte alphabet.</summary>
internal sealed class ByteSymbols : PieceSymbols
{
    private readonly Dictionary<string, int> _vocabulary;
    private readonly int[] _byteIds = new int[256];
    private readonly int _unknownId;
    private readonly bool _fuseUnknown;

    /// <param name="vocabulary">Ids by token, spelled in the byte alphabet.</param>
    /// <param name="unknownId">What a byte without a token becomes, or -1.</param>
    /// <param name="fuseUnknown">Whether several of them in a row are one token.</param>
    public ByteSymbols(Dictionary<string, int> vocabulary, int unknownId, bool fuseUnknown)
    {
        _vocabulary = vocabulary;
        _unknownId = unknownId;
        _fuseUnknown = fuseUnknown && unknownId >= 0;
        for (int value = 0; value < 256; value++)
        {
            _byteIds[value] = vocabulary.GetValueOrDefault(ByteLevelAlphabet.ToCharacter((byte)value).ToString(), -1);
        }
    }

    public override int Fill(ReadOnlySpan<char> piece, Span<int> ids, Span<int> sizes)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(ids.Length);
        int length = Encoding.UTF8.GetBytes(piece, bytes), count = 0;
        bool unknown = false;
        for (int i = 0; i < length; i++)
        {
            int id = _byteIds[bytes[i]];
            if (id < 0 && unknown && _fuseUnknown)
            {
                sizes[count - 1]++;
                continue;
            }

            unknown = id < 0;
            ids[count] = unknown ? _unknownId : id;
            sizes[count++] = 1;
        }

        ArrayPool<byte>.Shared.Return(bytes);
        return count;
    }

    public override bool TryWhole(ReadOnlySpan<char> piece, out int id)
    {
        byte[] bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(piece.Length));
        int length = Encoding.UTF8.GetBytes(piece, bytes);
        char[] spelled = ArrayPool<char>.Shared.Rent(length);
        for (int i = 0; i < length; i++)
        {
            spelled[i] = ByteLevelAlphabet.ToCharacter(bytes[i]);
        }

        bool found = _vocabulary.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(spelled.AsSpan(0, length), out id);
        ArrayPool<char>.Shared.Return(spelled);
        ArrayPool<byte>.Shared.Return(bytes);
        return found;
    }
}
