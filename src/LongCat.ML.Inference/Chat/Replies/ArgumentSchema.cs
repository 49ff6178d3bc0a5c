using System.Text.Json;

namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>What a tool's JSON schema says of an argument that a model wrote without quotes: whether it is text.</summary>
internal readonly record struct ArgumentSchema
{
    public static readonly ArgumentSchema Text = new(1), TextOrNull = new(2), Other = default;

    private readonly int _kind;

    private ArgumentSchema(int kind) => _kind = kind;

    /// <summary>The kind of one argument; <see cref="Other"/> where the schema does not know it.</summary>
    public static ArgumentSchema Of(JsonElement schema, string argument)
    {
        if (schema.ValueKind != JsonValueKind.Object
            || !schema.TryGetProperty("properties", out JsonElement properties) || properties.ValueKind != JsonValueKind.Object
            || !properties.TryGetProperty(argument, out JsonElement property) || property.ValueKind != JsonValueKind.Object
            || !property.TryGetProperty("type", out JsonElement type))
        {
            return Other;
        }

        if (type.ValueKind != JsonValueKind.Array)
        {
            return type.ValueKind == JsonValueKind.String && type.ValueEquals("string") ? Text : Other;
        }

        string?[] names = [.. type.EnumerateArray().Where(name => name.ValueKind == JsonValueKind.String).Select(name => name.GetString())];
        return names.Contains("string") && names.All(name => name is "string" or "null") ? (names.Length > 1 ? TextOrNull : Text) : Other;
    }
}
