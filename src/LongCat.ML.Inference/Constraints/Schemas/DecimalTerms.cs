using System.Globalization;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>Numbers within bounds, multiples of nothing, written without an exponent and with so many digits behind the point at most.</summary>
/// <param name="json">The pieces of JSON.</param>
/// <param name="places">Digits behind the point: few enough that a double tells the numbers near a bound from it.</param>
internal sealed class DecimalTerms(JsonTerms json, int places)
{
    /// <summary>Digits that a bound may have, and every double keeps apart.</summary>
    public const int MostDigits = 15;

    private const decimal Unbounded = 9_999_999_999_999_999m;

    private TermPool Pool => json.Pool;

    /// <summary>The numbers between two bounds; null where there is none.</summary>
    public Term Between((decimal Value, bool Exclusive)? least, (decimal Value, bool Exclusive)? most)
    {
        (decimal Value, bool Exclusive) below = least ?? (-Unbounded, false), above = most ?? (Unbounded, false);
        Term positive = Magnitude(below.Value < 0 ? (0, false) : below, above);

        // Zero has no sign here.
        Term negative = Magnitude(above.Value >= 0 ? (0, true) : (-above.Value, above.Exclusive), (-below.Value, below.Exclusive));
        return Pool.Choice(positive, Pool.Sequence(Pool.Byte((byte)'-'), negative));
    }

    private Term Magnitude((decimal Value, bool Exclusive) least, (decimal Value, bool Exclusive) most)
    {
        if (most.Value < 0 || least.Value > most.Value)
        {
            return Pool.Fail;
        }

        long low = (long)decimal.Floor(least.Value), high = (long)decimal.Floor(most.Value);
        Edge from = new(Digits(least.Value), least.Exclusive), to = new(Digits(most.Value), most.Exclusive);
        if (low == high)
        {
            return Pool.Sequence(Pool.Digits(low, low), Fraction(from, to));
        }

        return Pool.Choice(
            Pool.Sequence(Pool.Digits(low, low), Fraction(from, null)),
            low + 1 > high - 1 ? Pool.Fail : Pool.Sequence(Pool.Digits(low + 1, high - 1), Fraction(null, null)),
            Pool.Sequence(Pool.Digits(high, high), most.Value == Unbounded ? Fraction(null, null) : Fraction(null, to)));
    }

    /// <summary>Nothing, or a point and digits, between the fractions of two bounds; null where the whole part keeps clear of one.</summary>
    private Term Fraction(Edge? low, Edge? high) => Pool.Choice(
        CanStop(0, low, high) ? Pool.Empty : Pool.Fail,
        Pool.Sequence(Pool.Byte((byte)'.'), Tail(0, low, high)));

    /// <summary>The digits from a place on, at least one where it is the first, of which those before are the bounds' own.</summary>
    private Term Tail(int place, Edge? low, Edge? high)
    {
        if (low is null && high is null)
        {
            return Pool.Repeat(Pool.AnyOf("0123456789"), place == 0 ? 1 : 0, places - place);
        }

        List<Term> options = [place > 0 && CanStop(place, low, high) ? Pool.Empty : Pool.Fail];
        for (char digit = '0'; place < places && digit <= '9'; digit++)
        {
            if ((low is null || digit >= low.At(place)) && (high is null || digit <= high.At(place)))
            {
                options.Add(Pool.Sequence(Pool.Byte((byte)digit), Tail(place + 1, low?.At(place) == digit ? low : null, high?.At(place) == digit ? high : null)));
            }
        }

        return Pool.Choice(options);
    }

    /// <summary>Whether the digits so far, zeros behind them, are within the bounds that they follow.</summary>
    private static bool CanStop(int place, Edge? low, Edge? high) =>
        (low is null || (low.EndsAt(place) && !low.Exclusive)) && (high is null || !high.EndsAt(place) || !high.Exclusive);

    /// <summary>The digits behind the point, without zeros at their end.</summary>
    private static string Digits(decimal value) => (value - decimal.Floor(value)).ToString("F28", CultureInfo.InvariantCulture)[2..].TrimEnd('0');

    /// <param name="Digits">The fraction of a bound.</param>
    /// <param name="Exclusive">Whether the bound itself is out.</param>
    private sealed record Edge(string Digits, bool Exclusive)
    {
        public char At(int place) => place < Digits.Length ? Digits[place] : '0';

        public bool EndsAt(int place) => place >= Digits.Length;
    }
}
