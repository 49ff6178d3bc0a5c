using System.Text;

namespace LongCat.ML.Training.Tokenization;

/// <summary>
/// The printable character that stands for each byte in byte-level vocabularies: printable Latin-1 characters stand for themselves, the other 68 bytes
/// for U+0100, U+0101, … in ascending order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] s_characters = Build();
    private static readonly int[] s_order = Ranks();

    /// <summary>The character of a byte.</summary>
    public static char Character(byte value) => s_characters[value];

    /// <summary>The byte's place when all bytes are ordered by their characters; new vocabularies number their byte tokens so.</summary>
    public static int Order(byte value) => s_order[value];

    /// <summary>The text of a token that holds these bytes.</summary>
    public static string Spell(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new(bytes.Length);
        foreach (byte value in bytes)
        {
            text.Append(s_characters[value]);
        }

        return text.ToString();
    }

    private static char[] Build()
    {
        char[] characters = new char[256];
        int next = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is (>= 0x21 and <= 0x7E) or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            characters[value] = (char)(printable ? value : next++);
        }

        return characters;
    }

    private static int[] Ranks()
    {
        int[] order = new int[256];
        int rank = 0;
        foreach (int value in Enumerable.Range(0, 256).OrderBy(value => s_characters[value]))
        {
            order[value] = rank++;
        }

        return order;
    }
}
