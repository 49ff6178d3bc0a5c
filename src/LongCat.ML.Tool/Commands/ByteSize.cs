using System.Globalization;

namespace LongCat.ML.Tool.Commands;

/// <summary>Sizes of memory as they are written on a command line.</summary>
internal static class ByteSize
{
    /// <summary>Reads a whole number above 0, with K, M or G (of 1,024) behind it or not.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        int shift = text.Length == 0 ? 0 : char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, _ => 0 };
        if (!long.TryParse(shift > 0 ? text.AsSpan(0, text.Length - 1) : text, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            || number <= 0 || number > long.MaxValue >> shift)
        {
            return false;
        }

        bytes = number << shift;
        return true;
    }
}
