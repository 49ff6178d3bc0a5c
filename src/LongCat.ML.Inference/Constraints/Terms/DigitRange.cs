namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>Numbers of 0 or more within bounds that are multiples of a step, in units of the last digit behind the point: 0.25 to 3 by quarters is 25 to 300 by 25, in two places.</summary>
/// <param name="Least">The lower bound, 0 or more.</param>
/// <param name="Most">The upper bound.</param>
/// <param name="Step">What all are multiples of, 1 or more.</param>
/// <param name="Places">Digits behind the point at most; 0 for whole numbers, which have no point.</param>
internal readonly record struct DigitRange(long Least, long Most, long Step, int Places)
{
    /// <summary>Whether a number of units is one of them.</summary>
    public bool Contains(Int128 units) => units >= Least && units <= Most && units % Step == 0;

    /// <summary>What some digits are worth.</summary>
    /// <param name="value">The digits, the point left out.</param>
    /// <param name="decimals">How many of them stand behind the point.</param>
    public Int128 Units(long value, int? decimals) => value * Power(Places - (decimals ?? 0));

    /// <summary>Whether digits can follow, or none, such that the number is one of them.</summary>
    /// <param name="value">What the digits so far make, the point left out; null before the first.</param>
    /// <param name="decimals">How many of them stand behind the point; null before it.</param>
    public bool CanReach(long? value, int? decimals)
    {
        if (value is not { } digits)
        {
            return HasMultiple(Math.Max(Least, 0), Most);
        }

        // Everything from these digits, zeros behind them, up to the next number's.
        Int128 low = Units(digits, decimals), high = Units(digits + 1, decimals) - 1;
        if (decimals is not null || digits == 0)
        {
            // No whole digit follows the point, or a zero.
            return HasMultiple(Int128.Max(low, Least), Int128.Min(high, Most));
        }

        while (low <= Most)
        {
            if (HasMultiple(Int128.Max(low, Least), Int128.Min(high, Most)))
            {
                return true;
            }

            (low, high) = (low * 10, (high * 10) + 9);
        }

        return false;
    }

    /// <summary>Whether a multiple lies between two numbers of 0 or more, both included.</summary>
    private bool HasMultiple(Int128 low, Int128 high) => low <= high && high / Step * Step >= low;

    private static Int128 Power(int exponent)
    {
        Int128 power = 1;
        for (; exponent > 0; exponent--)
        {
            power *= 10;
        }

        return power;
    }
}
