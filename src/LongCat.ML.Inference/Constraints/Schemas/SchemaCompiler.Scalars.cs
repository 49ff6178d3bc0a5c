using System.Globalization;
using System.Text.Json;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

internal sealed partial class SchemaCompiler
{
    private const long LargestInteger = 999_999_999_999_999_999;

    /// <summary>The text of a string, without quotes.</summary>
    private static Term Text(SchemaNode node, TextTerms text)
    {
        string[] given = [.. new[] { "minLength", "maxLength", "pattern", "format" }.Where(key => node.TryGet(key, out _))];
        bool formatted = node.TryGet("format", out SchemaNode format), matched = node.TryGet("pattern", out SchemaNode pattern);
        int least = node.Count("minLength", 0)!.Value;
        int? most = node.Count("maxLength", null);
        if ((formatted || matched) && given.Length > 1)
        {
            string one = matched ? "pattern" : "format";
            throw node.Error($"'{one}' beside {string.Join(", ", given.Where(key => key != one).Select(key => $"'{key}'"))} is not supported; {(matched ? "write the length into the pattern" : "leave one out")}");
        }

        if (matched)
        {
            return PatternCompiler.Compile(pattern, text);
        }

        if (!formatted)
        {
            return text.Of(least, most);
        }

        string name = format.Text("the name of a format");
        return TextFormats.Of(name, text.Pool) ?? throw format.Error($"the format '{name}' is not supported; supported are {TextFormats.Supported}");
    }

    private Term Integer(SchemaNode node)
    {
        long least = Math.Max(Bound("minimum", -LargestInteger, up: true, 0), Bound("exclusiveMinimum", -LargestInteger, up: false, 1));
        long most = Math.Min(Bound("maximum", LargestInteger, up: false, 0), Bound("exclusiveMaximum", LargestInteger, up: true, -1));
        return _json.Whole(least, most, Step(node)?.Whole ?? 1);

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

        (long? Whole, int Places)? step = Step(node);
        if (step?.Whole is not null)
        {
            // Multiples of a whole number are whole numbers.
            return Integer(node);
        }

        (decimal Value, bool Exclusive)? least = Stricter("minimum", "exclusiveMinimum", lower: true), most = Stricter("maximum", "exclusiveMaximum", lower: false);
        decimal largest = Math.Max(Math.Abs(least?.Value ?? 0), Math.Abs(most?.Value ?? 0));
        int whole = largest < 1 ? 0 : decimal.Floor(largest).ToString(CultureInfo.InvariantCulture).Length;
        return new DecimalTerms(_json, Math.Min(step?.Places ?? DecimalTerms.MostDigits, Math.Max(1, DecimalTerms.MostDigits - whole))).Between(least, most);

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
            return digits.Length <= DecimalTerms.MostDigits ? value : throw Of(node, key).Error($"a bound of at most {DecimalTerms.MostDigits} digits is supported for the type 'number', got {value}");
        }
    }

    /// <summary>What a number is a multiple of: a whole number, or so many digits behind the point; null where nothing is said.</summary>
    private static (long? Whole, int Places)? Step(SchemaNode node)
    {
        const string Expected = "expected a whole number from 1, or 0.1, 0.01 and so on down to fifteen places";
        if (Limit(node, "multipleOf") is not { } value)
        {
            return null;
        }

        if (value > 0 && value <= LargestInteger && value == decimal.Floor(value))
        {
            return ((long)value, 0);
        }

        decimal power = 1;
        for (int places = 1; places <= DecimalTerms.MostDigits; places++)
        {
            power /= 10;
            if (value == power)
            {
                return (null, places);
            }
        }

        throw Of(node, "multipleOf").Error($"{Expected}, got {Of(node, "multipleOf").Element.GetRawText()}");
    }

    private static decimal? Limit(SchemaNode node, string key)
    {
        if (!node.TryGet(key, out SchemaNode bound))
        {
            return null;
        }

        return bound.Element.ValueKind == JsonValueKind.Number && bound.Element.TryGetDecimal(out decimal value)
            ? value
            : throw bound.Error($"expected a number, got {bound.Element.GetRawText()}");
    }

    private static SchemaNode Of(SchemaNode node, string key) => node.TryGet(key, out SchemaNode child) ? child : node;
}
