using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary>Says whether a value satisfies a schema, straight from the words of draft 2020-12: the other opinion that constraints are held against.</summary>
internal static class SchemaValidator
{
    public static bool Accepts(JsonElement root, JsonElement schema, JsonElement value)
    {
        if (schema.ValueKind is JsonValueKind.True or JsonValueKind.False)
        {
            return schema.ValueKind == JsonValueKind.True;
        }

        return schema.EnumerateObject().All(keyword => keyword.Name switch
        {
            "type" => keyword.Value.ValueKind == JsonValueKind.Array ? keyword.Value.EnumerateArray().Any(type => Is(value, type.GetString()!)) : Is(value, keyword.Value.GetString()!),
            "enum" => keyword.Value.EnumerateArray().Any(item => JsonElement.DeepEquals(item, value)),
            "const" => JsonElement.DeepEquals(keyword.Value, value),
            "anyOf" => keyword.Value.EnumerateArray().Any(part => Accepts(root, part, value)),
            "oneOf" => keyword.Value.EnumerateArray().Count(part => Accepts(root, part, value)) == 1,
            "allOf" => keyword.Value.EnumerateArray().All(part => Accepts(root, part, value)),
            "$ref" => Accepts(root, keyword.Value.GetString()!.Split('/').Skip(1).Aggregate(root, (node, name) => node.GetProperty(name)), value),
            "properties" => value.ValueKind != JsonValueKind.Object || keyword.Value.EnumerateObject().All(property => Members(value, property.Name).All(found => Accepts(root, property.Value, found))),
            "required" => value.ValueKind != JsonValueKind.Object || keyword.Value.EnumerateArray().All(name => value.TryGetProperty(name.GetString()!, out _)),
            "additionalProperties" => value.ValueKind != JsonValueKind.Object || value.EnumerateObject()
                .Where(member => !(schema.TryGetProperty("properties", out JsonElement declared) && declared.TryGetProperty(member.Name, out _)))
                .All(member => Accepts(root, keyword.Value, member.Value)),
            "prefixItems" => value.ValueKind != JsonValueKind.Array || keyword.Value.EnumerateArray().Zip(value.EnumerateArray()).All(pair => Accepts(root, pair.First, pair.Second)),
            "items" => value.ValueKind != JsonValueKind.Array
                || value.EnumerateArray().Skip(schema.TryGetProperty("prefixItems", out JsonElement leading) ? leading.GetArrayLength() : 0).All(item => Accepts(root, keyword.Value, item)),
            "minItems" => value.ValueKind != JsonValueKind.Array || value.GetArrayLength() >= keyword.Value.GetInt32(),
            "maxItems" => value.ValueKind != JsonValueKind.Array || value.GetArrayLength() <= keyword.Value.GetInt32(),
            "minLength" => value.ValueKind != JsonValueKind.String || Length(value) >= keyword.Value.GetInt32(),
            "maxLength" => value.ValueKind != JsonValueKind.String || Length(value) <= keyword.Value.GetInt32(),
            "minimum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() >= keyword.Value.GetDecimal(),
            "maximum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() <= keyword.Value.GetDecimal(),
            "exclusiveMinimum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() > keyword.Value.GetDecimal(),
            "exclusiveMaximum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() < keyword.Value.GetDecimal(),
            "multipleOf" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() % keyword.Value.GetDecimal() == 0,
            "pattern" => value.ValueKind != JsonValueKind.String || Regex.IsMatch(value.GetString()!, keyword.Value.GetString()!.Replace("$", "\\z", StringComparison.Ordinal), RegexOptions.CultureInvariant, TimeSpan.FromSeconds(10)),
            "format" => value.ValueKind != JsonValueKind.String || Formatted(value.GetString()!, keyword.Value.GetString()!),
            "$defs" or "title" or "description" => true,
            _ => throw new InvalidOperationException(keyword.Name),
        });
    }

    private static IEnumerable<JsonElement> Members(JsonElement value, string name) => value.EnumerateObject().Where(member => member.Name == name).Select(member => member.Value);

    private static int Length(JsonElement value) => value.GetString()!.EnumerateRunes().Count();

    private static bool Formatted(string text, string format) => format switch
    {
        "date" => DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _),
        "time" => DateTimeOffset.TryParse($"2024-05-05T{text}", CultureInfo.InvariantCulture, out _),
        "date-time" => DateTimeOffset.TryParse(text.Replace("0001-01-01", "0001-01-02").Replace("9999-12-31", "9999-12-30"), CultureInfo.InvariantCulture, out _),
        _ => Guid.TryParseExact(text, "D", out _),
    };

    private static bool Is(JsonElement value, string type) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "number" => value.ValueKind == JsonValueKind.Number && double.IsFinite(value.GetDouble()),
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _),
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        _ => value.ValueKind == JsonValueKind.Null,
    };
}
