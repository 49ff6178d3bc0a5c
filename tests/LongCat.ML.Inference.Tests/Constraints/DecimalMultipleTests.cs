using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using LongCat.ML.Inference.Constraints.Schemas;
using LongCat.ML.Inference.Constraints.Terms;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary><c>multipleOf</c> of decimal fractions: held against all short texts and arithmetic of whole numbers.</summary>
public sealed partial class DecimalMultipleTests(ITestOutputHelper output)
{
    // All texts of up to six of these characters, numbers or not.
    private static readonly string[] s_texts = [.. IntersectionTests.Texts("-.0125", 6)];

    [Theory]
    [InlineData("""{"type": "number", "multipleOf": 0.25}""", "0.25", 2)]
    [InlineData("""{"type": "number", "multipleOf": 0.5, "minimum": -1.25, "maximum": 210}""", "0.5", 1)]
    [InlineData("""{"type": "number", "multipleOf": 0.125, "exclusiveMinimum": 0.125}""", "0.125", 3)]
    [InlineData("""{"type": "number", "multipleOf": 2.5, "exclusiveMaximum": 22.5}""", "2.5", 1)]
    [InlineData("""{"type": "number", "multipleOf": 0.01, "minimum": -0.02, "exclusiveMaximum": 0.52}""", "0.01", 2)]
    [InlineData("""{"type": "number", "multipleOf": 0.15, "exclusiveMinimum": -1.5, "exclusiveMaximum": 1.5}""", "0.15", 2)]
    [InlineData("""{"type": "number", "multipleOf": 1.1, "minimum": 0.001}""", "1.1", 1)]
    [InlineData("""{"type": "number", "multipleOf": 0.250, "maximum": -0.25}""", "0.25", 2)]
    [InlineData("""{"type": "number", "multipleOf": 25e-2, "minimum": 1e1, "maximum": 1.2E1}""", "0.25", 2)]
    [InlineData("""{"type": "number", "multipleOf": 20}""", "20", 0)]
    [InlineData("""{"type": "integer", "multipleOf": 0.5, "minimum": -2}""", "1", 0)]
    [InlineData("""{"type": "integer", "multipleOf": 2.5}""", "5", 0)]
    [InlineData("""{"type": "integer", "multipleOf": 0.3}""", "3", 0)]
    public void Every_short_text_is_allowed_just_where_it_is_a_multiple_within_the_bounds(string schema, string step, int places)
    {
        JsonElement root = JsonDocument.Parse(schema).RootElement;
        Term term = SchemaCompiler.Compile(new TermPool(), root);
        int allowed = 0;
        foreach (string text in s_texts)
        {
            // Narrower than the schema on purpose: no zero with a sign, no more places than the step has.
            bool expected = Number().Match(text) is { Success: true } match && match.Groups["fraction"].Length - 1 <= places && (places > 0 || match.Groups["fraction"].Length == 0)
                && !(text[0] == '-' && Units(text).IsZero) && (Units(text) % Units(step)).IsZero && Within(text);
            Assert.True(expected == IntersectionTests.Accepts(term, Encoding.ASCII.GetBytes(text)), $"{text} under {schema}: expected {expected}");
            allowed += expected ? 1 : 0;
        }

        output.WriteLine($"{allowed} of {s_texts.Length} texts");
        Assert.InRange(allowed, 4, s_texts.Length / 2);

        bool Within(string text) => root.EnumerateObject().All(keyword => keyword.Name is "type" or "multipleOf" || Units(text).CompareTo(Units(keyword.Value.GetRawText())) is var order && keyword.Name switch
        {
            "minimum" => order >= 0,
            "maximum" => order <= 0,
            "exclusiveMinimum" => order > 0,
            _ => order < 0,
        });
    }

    /// <summary>A number in units of 10^-20: whole, so that nothing is rounded.</summary>
    private static BigInteger Units(string text)
    {
        const int Places = 20;
        string[] parts = text.ToLowerInvariant().Split('e');
        string[] digits = parts[0].Split('.');
        int exponent = (parts.Length > 1 ? int.Parse(parts[1], CultureInfo.InvariantCulture) : 0) - (digits.Length > 1 ? digits[1].Length : 0);
        return BigInteger.Parse(string.Concat(digits), CultureInfo.InvariantCulture) * BigInteger.Pow(10, Places + exponent);
    }

    [GeneratedRegex(@"^-?(0|[1-9][0-9]*)(?<fraction>\.[0-9]+)?\z", RegexOptions.ExplicitCapture)]
    private static partial Regex Number();
}
