namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The rest of the digits of a number of a range, without leading zeros.</summary>
/// <param name="pool">The pool.</param>
/// <param name="range">The numbers.</param>
/// <param name="value">What the digits that were read make, the point left out; null before the first.</param>
/// <param name="decimals">How many of them stand behind the point; null where no point was read.</param>
internal sealed class DigitsTerm(TermPool pool, DigitRange range, long? value, int? decimals)
    : Term(pool, value is { } digits && decimals != 0 && range.Contains(range.Units(digits, decimals)))
{
    protected override Term Derive(byte character)
    {
        if (character == (byte)'.')
        {
            return value is null || decimals is not null || range.Places == 0 ? Pool.Fail : Pool.Digits(range, value, 0);
        }

        // Nothing but a point follows a leading zero, and nothing the last place.
        if (character is < (byte)'0' or > (byte)'9' || (decimals is null ? value is 0 : decimals == range.Places) || value is > long.MaxValue / 10 - 1)
        {
            return Pool.Fail;
        }

        return Pool.Digits(range, ((value ?? 0) * 10) + character - '0', decimals + 1);
    }
}
