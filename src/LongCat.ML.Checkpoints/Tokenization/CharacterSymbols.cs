using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A character-level vocabulary (Llama 2, Mistral): every character is a symbol; one that has no token becomes its bytes (<c>&lt;0xE4&gt;</c>…) where the
/// vocabulary has them all and byte fallback is on, otherwise the unknown token.
/// </summary>
internal sealed class CharacterSymbols : PieceSymbols
{
    private readonly Dictionary<string, int> _vocabulary;
    private readonly int[] _characterIds = new int[0x10000];
    private readonly int[] _byteIds = new int[256];
    private readonly int _unknownId;
    private readonly bool _fuseUnknown;

    /// <param name="vocabulary">Ids by token.</param>
    /// <param name="unknownId">The unknown token, or -1: such characters then vanish, and what stands around them may merge.</param>
    /// <param name="fuseUnknown">Whether several unknown characters in a row are one token.</param>
    /// <param name="byteFallback">Whether characters may become bytes.</param>
    public CharacterSymbols(Dictionary<string, int> vocabulary, int unknownId, bool fuseUnknown, bool byteFallback)
    {
        _vocabulary = vocabulary;
        _unknownId = unknownId;
        _fuseUnknown = fuseUnknown;
        Array.Fill(_characterIds, -1);
        Array.Fill(_byteIds, -1);
        foreach ((string token, int id) in vocabulary)
        {
            if (token.Length == 1)
            {
                _characterIds[token[0]] = id;
            }
        }

        for (int value = 0; byteFallback && value < 256; value++)
        {
            _byteIds[value] = vocabulary.GetValueOrDefault(NameOf((byte)value), -1);
        }
    }

    /// <summary>The token of a byte.</summary>
    public static string NameOf(byte value) => "<0x" + value.ToString("X2", CultureInfo.InvariantCulture) + ">";

    public override int Fill(ReadOnlySpan<char> piece, Span<int> ids, Span<int> sizes)
    {
        Span<byte> bytes = stackalloc byte[4];
        int count = 0, dropped = 0;
        bool unknown = false;
        for (int at = 0; at < piece.Length;)
        {
            Rune.DecodeFromUtf16(piece[at..], out Rune character, out int units);
            int id = character.IsBmp ? _characterIds[character.Value] : Find(piece.Slice(at, units));
            at += units;
            int size = character.EncodeToUtf8(bytes);
            if (id < 0 && HasBytes(bytes[..size]))
            {
                for (int i = 0; i < size; i++)
                {
                    Add(_byteIds[bytes[i]], 1, ids, sizes);
                }

                unknown = false;
            }
            else if (id >= 0)
            {
                Add(id, size, ids, sizes);
                unknown = false;
            }
            else if (_unknownId < 0)
            {
                dropped += size;
            }
            else if (unknown && _fuseUnknown)
            {
                sizes[count - 1] += size;
            }
            else
            {
                Add(_unknownId, size, ids, sizes);
                unknown = true;
            }
        }

        if (dropped > 0 && count > 0)
        {
            sizes[count - 1] += dropped;
        }

        return count;

        // A symbol also covers what vanished before it.
        void Add(int id, int size, Span<int> ids, Span<int> sizes)
        {
            ids[count] = id;
            sizes[count++] = size + dropped;
            dropped = 0;
        }
    }

    public override bool TryWhole(ReadOnlySpan<char> piece, out int id) => _vocabulary.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(piece, out id);

    private int Find(ReadOnlySpan<char> character) => TryWhole(character, out int id) ? id : -1;

    private bool HasBytes(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
        {
            if (_byteIds[value] < 0)
            {
                return false;
            }
        }

        return true;
    }
}
