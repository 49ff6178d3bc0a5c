using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>The values of <c>format</c> that are written with a few characters (RFC 3339, RFC 9562), as terms.</summary>
internal static class TextFormats
{
    public const string Supported = "date-time, date, time, uuid";

    /// <summary>A text of a format, without quotes; null for one that is not supported.</summary>
    public static Term? Of(string format, TermPool pool) => format switch
    {
        "date" => Date(pool),
        "time" => Time(pool),
        "date-time" => pool.Sequence(Date(pool), pool.Byte((byte)'T'), Time(pool)),
        "uuid" => Uuid(pool),
        _ => null,
    };

    /// <summary>A date of the Gregorian calendar from year 1 on, leap years counted in.</summary>
    private static Term Date(TermPool pool)
    {
        Term two = pool.Sequence(Digit(pool), Digit(pool));
        Term dash = pool.Byte((byte)'-');
        Term year = pool.Except(pool.Sequence(two, two), ["0000"u8.ToArray()]);
        Term leap = pool.Choice(
            pool.Sequence(two, Numbers(pool, Enumerable.Range(1, 24).Select(k => 4 * k))),
            pool.Sequence(Numbers(pool, Enumerable.Range(1, 24).Select(k => 4 * k)), pool.Literal("00")));
        return pool.Choice(
            pool.Sequence(year, dash, Numbers(pool, [1, 3, 5, 7, 8, 10, 12]), dash, Numbers(pool, Enumerable.Range(1, 31))),
            pool.Sequence(year, dash, Numbers(pool, [4, 6, 9, 11]), dash, Numbers(pool, Enumerable.Range(1, 30))),
            pool.Sequence(year, dash, pool.Literal("02"), dash, Numbers(pool, Enumerable.Range(1, 28))),
            pool.Sequence(leap, dash, pool.Literal("02"), dash, pool.Literal("29")));
    }

    private static Term Time(TermPool pool)
    {
        Term colon = pool.Byte((byte)':');
        Term hours = Numbers(pool, Enumerable.Range(0, 24)), sixty = Numbers(pool, Enumerable.Range(0, 60));
        return pool.Sequence(
            hours, colon, sixty, colon, sixty,
            pool.Optional(pool.Sequence(pool.Byte((byte)'.'), pool.Repeat(Digit(pool), 1, 7))),
            pool.Choice(pool.Byte((byte)'Z'), pool.Sequence(pool.AnyOf("+-"), Numbers(pool, Enumerable.Range(0, 14)), colon, sixty)));
    }

    private static Term Uuid(TermPool pool)
    {
        Term hex = pool.AnyOf("0123456789abcdef"), dash = pool.Byte((byte)'-');
        Term Group(int count) => pool.Repeat(hex, count, count);
        return pool.Sequence(Group(8), dash, Group(4), dash, Group(4), dash, Group(4), dash, Group(12));
    }

    private static Term Digit(TermPool pool) => pool.AnyOf("0123456789");

    private static Term Numbers(TermPool pool, IEnumerable<int> values) =>
        pool.Choice(values.Select(value => pool.Literal(value.ToString("00", System.Globalization.CultureInfo.InvariantCulture))));
}
