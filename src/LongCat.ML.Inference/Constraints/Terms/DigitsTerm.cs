namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The digits of a whole number of 0 or more within bounds that is a multiple of a step, without leading zeros; some may have been read.</summary>
internal sealed class DigitsTerm(TermPool pool, long least, long most, long step, long? value) : Term(pool, value >= least && value <= most && value % step == 0)
{
    /// <summary>Whether digits can follow (or none, once there is one) such that the number is a multiple within the bounds.</summary>
    public static bool CanReach(long least, long most, long step, long? value)
    {
        if (value is not > 0)
        {
            // Nothing follows a zero.
            return value is null ? HasMultiple(Math.Max(least, 0), most, step) : least <= 0 && most >= 0;
        }

        // With k more digits, everything from value·10^k on up to the next number's.
        Int128 low = value.Value, high = value.Value;
        while (low <= most)
        {
            if (HasMultiple(Int128.Max(low, least), Int128.Min(high, most), step))
            {
                return true;
            }

            (low, high) = (low * 10, (high * 10) + 9);
        }

        return false;
    }

    /// <summary>Whether a multiple lies between two numbers of 0 or more, both included.</summary>
    private static bool HasMultiple(Int128 low, Int128 high, long step) => low <= high && high / step * step >= low;

    protected override Term Derive(byte character)
    {
        if (character is < (byte)'0' or > (byte)'9' || value is 0 or > long.MaxValue / 10 - 1)
        {
            return Pool.Fail;
        }

        return Pool.Digits(least, most, step, ((value ?? 0) * 10) + character - '0');
    }
}
