using System.Globalization;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>A decimal number that others are multiples of, as a whole number of units of its last digit: 0.25 is 25 in two places.</summary>
/// <param name="Units">The units, at least 1.</param>
/// <param name="Places">Digits behind the point, without zeros at their end; 0 for a whole number.</param>
internal readonly record struct NumberStep(long Units, int Places)
{
    /// <summary>The largest step that is a whole number.</summary>
    public const long LargestWhole = 999_999_999_999_999_999;

    private const int MostPlaces = 28;

    /// <summary>A step; null where the number is not positive or has too many digits.</summary>
    public static NumberStep? Of(decimal value)
    {
        if (value <= 0 || value > LargestWhole)
        {
            return null;
        }

        if (value == decimal.Floor(value))
        {
            return new NumberStep((long)value, 0);
        }

        string text = value.ToString("F28", CultureInfo.InvariantCulture).TrimEnd('0');
        string digits = text.Replace(".", "", StringComparison.Ordinal).TrimStart('0');
        int places = text.Length - 1 - text.IndexOf('.', StringComparison.Ordinal);
        return digits.Length <= DecimalTerms.MostDigits && places <= DecimalTerms.MostDigits ? new NumberStep(long.Parse(digits, CultureInfo.InvariantCulture), places) : null;
    }

    /// <summary>The step, in units of the last of fewer places, of those multiples that need no more: units · 10^-places is a multiple just where it is one of this many units.</summary>
    /// <param name="places">From 0 to <see cref="Places"/>.</param>
    public long Within(int places)
    {
        // u · 10^(Places - places) is a multiple of Units where u is one of Units without what both have in common.
        long common = Units;
        for (long other = (long)Power(Places - places); other != 0;)
        {
            (common, other) = (other, common % other);
        }

        return Units / common;
    }

    /// <summary>10 to the power of a number of digits.</summary>
    public static decimal Power(int exponent)
    {
        decimal power = 1;
        for (; exponent > 0; exponent--)
        {
            power *= 10;
        }

        return power;
    }

    /// <summary>A number of JSON without any rounding; null where a decimal does not hold it.</summary>
    public static decimal? Exactly(string text)
    {
        int mark = text.AsSpan().IndexOfAny('e', 'E');
        string mantissa = (mark < 0 ? text : text[..mark]).TrimStart('-');
        int point = mantissa.IndexOf('.', StringComparison.Ordinal);
        string digits = mantissa.Replace(".", "", StringComparison.Ordinal).TrimStart('0');
        int zeros = digits.Length - digits.TrimEnd('0').Length, places = point < 0 ? 0 : mantissa.Length - 1 - point;
        if (digits.Length == zeros)
        {
            return 0;
        }

        if (digits.Length - zeros > MostPlaces || !int.TryParse(mark < 0 ? "0" : text.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int exponent) || Math.Abs((long)exponent) > text.Length + MostPlaces)
        {
            return null;
        }

        // Digits, then so many zeros, or that many of them behind the point.
        int shift = exponent - places + zeros;
        digits = digits[..^zeros];
        return shift >= -MostPlaces && digits.Length + shift <= MostPlaces + 1
            && decimal.TryParse($"{(text[0] == '-' ? "-" : "")}{digits}e{shift}", NumberStyles.AllowLeadingSign | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out decimal value) ? value : null;
    }
}
