using System.Globalization;
using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

internal sealed partial class SchemaCompiler
{
    /// <summary>Digits of a number that every double keeps apart.</summary>
    private const int MostDigits = DecimalTerms.MostDigits;

    private const long LargestInteger = 999_999_999_999_999_999;

    /// <summary>The text of a string, without quotes: what all keywords together allow.</summary>
    private static Term Text(SchemaNode node, TextTerms text)
    {
        int least = node.Count("minLength", 0)!.Value;
        int? most = node.Count("maxLength", null);
        List<Term> given = [];
        if (node.TryGet("pattern", out SchemaNode pattern))
        {
            given.Add(PatternCompiler.Compile(pattern, text));
        }

        if (node.TryGet("format", out SchemaNode format))
        {
            string name = format.Text("the name of a format");
            given.Add(TextFormats.Of(name, text.Pool) ?? throw format.Error($"the format '{name}' is not supported; supported are {TextFormats.Supported}"));
        }

        return given.Count == 0 ? text.Of(least, most)
            : given.Count == 1 && least == 0 && most is null ? given[0]
            : text.Pool.Intersection(given, text.Any, least, most);
    }

    private Term Integer(SchemaNode node)
    {
        long least = Math.Max(Bound("minimum", -LargestInteger, up: true, 0), Bound("exclusiveMinimum", -LargestInteger, up: false, 1));
        long most = Math.Min(Bound("maximum", LargestInteger, up: false, 0), Bound("exclusiveMaximum", LargestInteger, up: true, -1));
        return _json.Whole(least, most, Step(node)?.Within(places: 0) ?? 1);

        // An exclusive bound that is no whole number is a bound to the next one; one that is, is moved by one.
        long Bound(string key, long absent, bool up, long move) => Limit(node, key) is not { } value ? absent
            : (long)Math.Clamp((up ? Math.Ceiling(value) : Math.Floor(value)) + move, -LargestInteger, LargestInteger);
    }

    private Term Number(SchemaNode node)
    {
        if (new[] { "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf" }.All(key => !node.TryGet(key, out _)))
        {
            return _json.Number;
        }

        NumberStep? step = Step(node);
        if (step?.Places == 0)
        {
            // Multiples of a whole number are whole numbers.
            return Integer(node);
        }

        (decimal Value, bool Exclusive)? least = Stricter("minimum", "exclusiveMinimum", lower: true), most = Stricter("maximum", "exclusiveMaximum", lower: false);
        decimal largest = Math.Max(Math.Abs(least?.Value ?? 0), Math.Abs(most?.Value ?? 0));
        int whole = largest < 1 ? 0 : decimal.Floor(largest).ToString(CultureInfo.InvariantCulture).Length, places = Math.Max(1, MostDigits - whole);
        return step is { } multiple ? Multiples(multiple, Math.Min(multiple.Places, places), whole, least, most) : new DecimalTerms(_json, places).Between(least, most);

        (decimal Value, bool Exclusive)? Stricter(string key, string exclusive, bool lower)
        {
            if (Short(key) is not { } bound)
            {
                return Short(exclusive) is { } only ? (only, true) : null;
            }

            return Short(exclusive) is { } other && (lower ? other >= bound : other <= bound) ? (other, true) : (bound, false);
        }

        decimal? Short(string key)
        {
            if (Limit(node, key) is not { } value)
            {
                return null;
            }

            string digits = Math.Abs(value).ToString("F28", CultureInfo.InvariantCulture).TrimEnd('0').TrimStart('0').Replace(".", "", StringComparison.Ordinal);
            return digits.Length <= MostDigits ? value : throw Of(node, key).Error($"a bound of at most {MostDigits} digits is supported for the type 'number', got {value}");
        }
    }

    /// <summary>Multiples of a fraction with so many digits behind the point at most: whole multiples of the last one's unit, so nothing is rounded.</summary>
    private Term Multiples(NumberStep step, int places, int whole, (decimal Value, bool Exclusive)? least, (decimal Value, bool Exclusive)? most)
    {
        decimal unit = NumberStep.Power(places), unbounded = NumberStep.Power(Math.Max(MostDigits, whole + places)) - 1;
        decimal low = least is { } from ? from.Value * unit : -unbounded, high = most is { } to ? to.Value * unit : unbounded;
        decimal first = decimal.Ceiling(low), last = decimal.Floor(high);
        first += least is { Exclusive: true } && first == low ? 1 : 0;
        last -= most is { Exclusive: true } && last == high ? 1 : 0;
        return _json.Multiples((long)first, (long)last, step.Within(places), places);
    }

    /// <summary>What a number is a multiple of; null where nothing is said.</summary>
    private static NumberStep? Step(SchemaNode node)
    {
        if (Limit(node, "multipleOf") is not { } value)
        {
            return null;
        }

        return NumberStep.Of(value) ?? throw Of(node, "multipleOf").Error(
            $"expected a whole number from 1 to {NumberStep.LargestWhole}, or a positive fraction of at most {MostDigits} digits such as 0.25, got {Of(node, "multipleOf").Element.GetRawText()}");
    }

    private static decimal? Limit(SchemaNode node, string key)
    {
        if (!node.TryGet(key, out SchemaNode bound))
        {
            return null;
        }

        return bound.Element.ValueKind != JsonValueKind.Number ? throw bound.Error($"expected a number, got {bound.Element.GetRawText()}")
            : NumberStep.Exactly(bound.Element.GetRawText()) ?? throw bound.Error($"a number of at most 28 digits, behind the point too, is supported, got {bound.Element.GetRawText()}");
    }

    private static SchemaNode Of(SchemaNode node, string key) => node.TryGet(key, out SchemaNode child) ? child : node;
}
