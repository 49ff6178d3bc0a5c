using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// The printable character that stands for each byte in byte-level vocabularies (GPT-2 and everything after it): printable Latin-1 characters stand for
/// themselves, the other 68 bytes for U+0100, U+0101, … in ascending order. Thread-safe.
/// </summary>
public static class ByteLevelAlphabet
{
    private static readonly char[] s_characters = BuildCharacters();
    private static readonly short[] s_bytes = BuildBytes();

    /// <summary>The character that stands for a byte.</summary>
    /// <param name="value">Any byte.</param>
    /// <returns>Its character, U+0021..U+0143.</returns>
    public static char ToCharacter(byte value) => s_characters[value];

    /// <summary>The byte that a character stands for.</summary>
    /// <param name="character">Any character.</param>
    /// <param name="value">The byte, or 0.</param>
    /// <returns>False when the character is not of the alphabet.</returns>
    public static bool TryToByte(char character, out byte value)
    {
        short found = character < s_bytes.Length ? s_bytes[character] : (short)-1;
        value = found < 0 ? (byte)0 : (byte)found;
        return found >= 0;
    }

    /// <summary>Spells bytes in the alphabet, as vocabularies write their tokens.</summary>
    /// <param name="bytes">Any bytes.</param>
    /// <returns>One character per byte.</returns>
    public static string Spell(ReadOnlySpan<byte> bytes)
    {
        StringBuilder text = new(bytes.Length);
        foreach (byte value in bytes)
        {
            text.Append(s_characters[value]);
        }

        return text.ToString();
    }

    /// <summary>
    /// The bytes of a token: one per character where all are of the alphabet; otherwise (an added token with a space or an accent in it) its UTF-8.
    /// </summary>
    /// <param name="token">A token as the vocabulary spells it.</param>
    /// <returns>Its bytes.</returns>
    public static byte[] BytesOf(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            if (!TryToByte(token[i], out bytes[i]))
            {
                return Encoding.UTF8.GetBytes(token);
            }
        }

        return bytes;
    }

    private static char[] BuildCharacters()
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

    private static short[] BuildBytes()
    {
        short[] bytes = new short[s_characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (int value = 0; value < 256; value++)
        {
            bytes[s_characters[value]] = (short)value;
        }

        return bytes;
    }
}
