namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The digits of a whole number of 0 or more within bounds, without leading zeros; some may have been read.</summary>
internal sealed class DigitsTerm(TermPool pool, long least, long most, long? value) : Term(pool, value >= least && value <= most)
{
    /// <summary>Whether digits can follow (or none, once there is one) such that the number is within the bounds.</summary>
    public static bool CanReach(long least, long most, long? value)
    {
        if (value is not > 0)
        {
            // Nothing follows a zero.
            return value is null ? least <= most && most >= 0 : least <= 0 && most >= 0;
        }

        // With k more digits, everything from value·10^k on up to the next number's.
        Int128 low = value.Value, high = value.Value;
        while (low <= most)
        {
            if (high >= least)
            {
                return true;
            }

            (low, high) = (low * 10, (high * 10) + 9);
        }

        return false;
    }

    protected override Term Derive(byte character)
    {
        if (character is < (byte)'0' or > (byte)'9' || value is 0 or > long.MaxValue / 10 - 1)
        {
            return Pool.Fail;
        }

        return Pool.Digits(least, most, ((value ?? 0) * 10) + character - '0');
    }
}
