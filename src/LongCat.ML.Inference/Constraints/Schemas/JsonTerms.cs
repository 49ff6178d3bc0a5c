using System.Text.Encodings.Web;
using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>
/// The pieces of JSON texts (RFC 8259) as terms. Narrower than JSON where models would run away: white space only where people put it and never without end, numbers of at most 16
/// digits before and behind the point and exponents of two, so that each is a finite double.
/// </summary>
internal sealed class JsonTerms
{
    private const string Hex = "0123456789abcdefABCDEF";

    private static readonly JsonSerializerOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public JsonTerms(TermPool pool)
    {
        Pool = pool;
        Quote = pool.Byte((byte)'"');
        RawCharacter = TextTerms.Escaped(pool).Any;
        Character = pool.Choice(RawCharacter, Escape());
        Text = TextTerms.Quoted(pool, Character);
        Break = pool.Optional(pool.Choice(pool.Byte((byte)' '), pool.Sequence(pool.Byte((byte)'\n'), pool.Repeat(pool.AnyOf(" \t"), 0, 32))));
        Colon = pool.Sequence(pool.Byte((byte)':'), pool.Optional(pool.Byte((byte)' ')));
        Comma = pool.Sequence(pool.Byte((byte)','), Break);
        Boolean = pool.Choice(pool.Literal("true"), pool.Literal("false"));
        Null = pool.Literal("null");
        Integer = Whole(-999_999_999_999_999_999, 999_999_999_999_999_999);
        Term digit = pool.AnyOf("0123456789");
        Number = pool.Sequence(
            pool.Optional(pool.Byte((byte)'-')),
            pool.Choice(pool.Byte((byte)'0'), pool.Sequence(pool.AnyOf("123456789"), pool.Repeat(digit, 0, 15))),
            pool.Optional(pool.Sequence(pool.Byte((byte)'.'), pool.Repeat(digit, 1, 16))),
            pool.Optional(pool.Sequence(pool.AnyOf("eE"), pool.Optional(pool.AnyOf("+-")), pool.Repeat(digit, 1, 2))));
    }

    public TermPool Pool { get; }

    public Term Quote { get; }

    /// <summary>A character of a string as it stands.</summary>
    public Term RawCharacter { get; }

    /// <summary>A character of a string, escaped or not.</summary>
    public Term Character { get; }

    /// <summary>Nothing, a space, or a line break with its indentation.</summary>
    public Term Break { get; }

    public Term Colon { get; }

    public Term Comma { get; }

    public Term Boolean { get; }

    public Term Null { get; }

    public Term Integer { get; }

    public Term Number { get; }

    /// <summary>What stands between the quotes of a string.</summary>
    public TextTerms Text { get; }

    /// <summary>A value as it is written without white space.</summary>
    public Term Constant(JsonElement value) => Pool.Literal(JsonSerializer.Serialize(value, s_plain));

    /// <summary>The key of a declared property.</summary>
    public Term Key(string name) => Pool.Sequence(Pool.Literal(JsonSerializer.Serialize(name, s_plain)), Colon);

    /// <summary>Any key but those of declared properties; without escapes, in which one of those could hide.</summary>
    public Term OtherKey(IEnumerable<string> names) => Pool.Sequence(
        Quote, Pool.Except(Pool.Repeat(RawCharacter, 0, null), [.. names.Select(System.Text.Encoding.UTF8.GetBytes)]), Quote, Colon);

    /// <summary>A whole number within bounds, a multiple of a step.</summary>
    public Term Whole(long least, long most, long step = 1) => Multiples(least, most, step, places: 0);

    /// <summary>A number within bounds, a multiple of a step, both in units of the last of its digits behind the point, of which it may have fewer.</summary>
    public Term Multiples(long least, long most, long step, int places)
    {
        Term positive = most < 0 ? Pool.Fail : Pool.Digits(new DigitRange(Math.Max(least, 0), most, step, places));

        // Zero has no sign here.
        Term negative = least >= 0 ? Pool.Fail : Pool.Sequence(Pool.Byte((byte)'-'), Pool.Digits(new DigitRange(Math.Max(1, -most), -least, step, places)));
        return Pool.Choice(positive, negative);
    }

    /// <summary>Escapes; halves of surrogate pairs only together.</summary>
    private Term Escape()
    {
        Term hex = Pool.AnyOf(Hex);
        Term plain = Pool.Choice(
            Pool.Sequence(Pool.AnyOf("0123456789abcefABCEF"), hex, hex, hex),
            Pool.Sequence(Pool.AnyOf("dD"), Pool.AnyOf("01234567"), hex, hex));
        Term pair = Pool.Sequence(Pool.AnyOf("dD"), Pool.AnyOf("89abAB"), hex, hex, Pool.Literal("\\u"), Pool.AnyOf("dD"), Pool.AnyOf("cdefCDEF"), hex, hex);
        return Pool.Sequence(Pool.Byte((byte)'\\'), Pool.Choice(Pool.AnyOf("\"\\/bfnrt"), Pool.Sequence(Pool.Byte((byte)'u'), Pool.Choice(plain, pair))));
    }
}
