using System.Text.Json;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>A place in a JSON schema, with errors that name it.</summary>
internal readonly record struct SchemaNode(JsonElement Element, string Pointer)
{
    public bool TryGet(string key, out SchemaNode child)
    {
        bool found = Element.TryGetProperty(key, out JsonElement element);
        child = found ? new SchemaNode(element, $"{Pointer}/{key}") : default;
        return found;
    }

    public InferenceException Error(string message) => new($"JSON schema at '{Pointer}': {message}");

    /// <summary>A count that is a keyword's value; <paramref name="absent"/> where the keyword is missing.</summary>
    public int? Count(string key, int? absent)
    {
        const int Most = 1 << 20;
        if (!TryGet(key, out SchemaNode node))
        {
            return absent;
        }

        return node.Element.ValueKind == JsonValueKind.Number && node.Element.TryGetDouble(out double count) && count == Math.Floor(count) && count is >= 0 and <= Most
            ? (int)count
            : throw node.Error($"expected a whole number from 0 to {Most}, got {node.Element.GetRawText()}");
    }

    /// <summary>The members of a keyword that is an object of schemas.</summary>
    public IEnumerable<(string Name, SchemaNode Node)> Members(string key)
    {
        if (!TryGet(key, out SchemaNode node))
        {
            yield break;
        }

        foreach (JsonProperty member in node.Require(JsonValueKind.Object, "an object of schemas").Element.EnumerateObject())
        {
            yield return (member.Name, new SchemaNode(member.Value, $"{node.Pointer}/{member.Name.Replace("~", "~0").Replace("/", "~1")}"));
        }
    }

    /// <summary>The entries of a list.</summary>
    public IEnumerable<SchemaNode> Items(string expected)
    {
        int index = 0;
        foreach (JsonElement item in Require(JsonValueKind.Array, expected).Element.EnumerateArray())
        {
            yield return new SchemaNode(item, $"{Pointer}/{index++}");
        }
    }

    public string Text(string expected) => Require(JsonValueKind.String, expected).Element.GetString()!;

    private SchemaNode Require(JsonValueKind kind, string expected) => Element.ValueKind == kind ? this : throw Error($"expected {expected}, got {Element.ValueKind}");
}
