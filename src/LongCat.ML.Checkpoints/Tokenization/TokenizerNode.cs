using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>A place in tokenizer.json: reads values and words the errors, which name the file, the key, what was expected and what came.</summary>
internal readonly struct TokenizerNode(JsonElement element, string key, string file)
{
    public JsonElement Element { get; } = element;

    /// <summary>Where this is, such as <c>model.merges[3]</c>; empty for the whole.</summary>
    public string Key { get; } = key;

    public bool IsNull => Element.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    /// <summary>The value of a key; a missing one and null are the same.</summary>
    public TokenizerNode this[string name]
    {
        get
        {
            if (Element.ValueKind != JsonValueKind.Object)
            {
                throw Expected("an object");
            }

            Element.TryGetProperty(name, out JsonElement value);
            return new TokenizerNode(value, Key.Length == 0 ? name : $"{Key}.{name}", file);
        }
    }

    public string Type => this["type"].Text();

    public string Text() => Element.ValueKind == JsonValueKind.String ? Element.GetString()! : throw Expected("a string");

    public string? TextOrNull() => IsNull ? null : Text();

    public bool Flag(bool fallback) => Element.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Null or JsonValueKind.Undefined => fallback,
        _ => throw Expected("true or false"),
    };

    /// <summary>A token id. The bound keeps a damaged file from asking for gigabytes.</summary>
    public int Id()
    {
        const int Limit = 1 << 22;
        return Element.ValueKind == JsonValueKind.Number && Element.TryGetInt32(out int id) && id is >= 0 and < Limit ? id : throw Expected($"a token id from 0 to {Limit - 1}");
    }

    public IEnumerable<TokenizerNode> Items()
    {
        if (Element.ValueKind != JsonValueKind.Array)
        {
            throw Expected("a list");
        }

        return Enumerate(Element, Key, file);

        static IEnumerable<TokenizerNode> Enumerate(JsonElement list, string key, string file)
        {
            int index = 0;
            foreach (JsonElement item in list.EnumerateArray())
            {
                yield return new TokenizerNode(item, $"{key}[{index++}]", file);
            }
        }
    }

    public IEnumerable<(string Name, TokenizerNode Value)> Members()
    {
        if (Element.ValueKind != JsonValueKind.Object)
        {
            throw Expected("an object");
        }

        return Enumerate(Element, Key, file);

        static IEnumerable<(string, TokenizerNode)> Enumerate(JsonElement map, string key, string file)
        {
            foreach (JsonProperty member in map.EnumerateObject())
            {
                yield return (member.Name, new TokenizerNode(member.Value, $"{key}[\"{member.Name}\"]", file));
            }
        }
    }

    public CheckpointException Expected(string what) => Error($"expected {what}, got {Got()}");

    public CheckpointException Unsupported(string supported) => Error($"`{TextOf("type")}` is not supported; supported: {supported}");

    public CheckpointException Error(string message, Exception? cause = null) =>
        new(file, $"{(Key.Length == 0 ? "the document" : CheckpointException.Printable(Key))}: {message}", cause);

    private string? TextOf(string name) =>
        Element.ValueKind == JsonValueKind.Object && Element.TryGetProperty(name, out JsonElement value) ? CheckpointException.Printable(value.ToString()) : null;

    private string Got()
    {
        if (IsNull)
        {
            return "nothing";
        }

        string raw = Element.GetRawText();
        return CheckpointException.Printable(raw.Length > 60 ? raw[..60] + "…" : raw);
    }
}
