using System.Text.Json;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

/// <summary>Reads typed values out of adapter_config.json. A key whose value is null counts as absent; a refusal names the key, the value and what was expected.</summary>
internal sealed class PeftReader(string file, JsonObject root)
{
    private const int MostEntries = 1 << 20;

    public string? Text(string key) => Value(key) is { } value ? TextValue(key, value) : null;

    public bool Flag(string key) => Value(key) is { } value && value.GetValueKind() switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Refuse(key, value, "true or false"),
    };

    public string? FlagOrText(string key) => Value(key) is not { } value ? null : value.GetValueKind() switch
    {
        JsonValueKind.True => "true",
        JsonValueKind.False => "false",
        JsonValueKind.String => TextValue(key, value),
        _ => throw Refuse(key, value, "true, false or a name"),
    };

    public int? Int(string key) => Value(key) is { } value ? IntValue(key, value) : null;

    public double? Number(string key) => Value(key) is { } value ? NumberValue(key, value) : null;

    public int IntValue(string key, JsonNode value) =>
        value.GetValueKind() == JsonValueKind.Number && value.AsValue().TryGetValue(out int number) ? number : throw Refuse(key, value, "a whole number");

    public double NumberValue(string key, JsonNode value) =>
        value.GetValueKind() == JsonValueKind.Number && value.AsValue().TryGetValue(out double number) && double.IsFinite(number) ? number : throw Refuse(key, value, "a number");

    /// <summary>A text or a list of texts, as a list; null where the key is absent.</summary>
    public IReadOnlyList<string>? Texts(string key) => Value(key) switch
    {
        null => null,
        JsonArray list => [.. Entries(key, list).Select(item => TextValue(key, item))],
        { } value => [TextValue(key, value)],
    };

    /// <summary>A number or a list of numbers, as a list; null where the key is absent.</summary>
    public IReadOnlyList<int>? Ints(string key) => Value(key) switch
    {
        null => null,
        JsonArray list => [.. Entries(key, list).Select(item => IntValue(key, item))],
        { } value => [IntValue(key, value)],
    };

    /// <summary>An expression or a list of names; null where the key is absent or the list is empty.</summary>
    public AdapterTargets? Targets(string key) => Value(key) switch
    {
        null => null,
        JsonArray { Count: 0 } => null,
        JsonArray list => AdapterTargets.Names(Entries(key, list).Select(item => TextValue(key, item) is { Length: > 0 } text ? text : throw Refuse(key, item, "a module's path or the end of one"))),
        { } value => TextValue(key, value) is { Length: > 0 } text ? AdapterTargets.Regex(text) : throw Refuse(key, value, "a regular expression, a list of names, or all-linear"),
    };

    /// <summary>An object of values by expression, in the order of the file; null where the key is absent.</summary>
    public IReadOnlyDictionary<string, T>? Pattern<T>(string key, Func<string, JsonNode, T> read)
    {
        if (Value(key) is not { } value)
        {
            return null;
        }

        OrderedDictionary<string, T> pattern = new(StringComparer.Ordinal);
        foreach ((string source, JsonNode? item) in value as JsonObject ?? throw Refuse(key, value, "an object"))
        {
            pattern.Add(source, read($"{key}.{source}", item ?? throw new AdapterException(file, $"{key}.{CheckpointException.Printable(source)} is null, expected a number")));
        }

        return pattern;
    }

    /// <summary>Whether a key holds something other than null, false, or an empty list or object.</summary>
    public bool IsSet(string key) => Value(key) switch
    {
        null => false,
        JsonArray list => list.Count > 0,
        JsonObject map => map.Count > 0,
        { } value => value.GetValueKind() != JsonValueKind.False,
    };

    public AdapterException Missing(string key, string expected) => new(file, $"{key} is missing, expected {expected}");

    private JsonNode? Value(string key) => root.TryGetPropertyValue(key, out JsonNode? value) ? value : null;

    private IEnumerable<JsonNode> Entries(string key, JsonArray list)
    {
        if (list.Count > MostEntries)
        {
            throw new AdapterException(file, $"{key} has {list.Count} entries, expected at most {MostEntries}");
        }

        foreach (JsonNode? item in list)
        {
            yield return item ?? throw new AdapterException(file, $"{key} has an entry that is null");
        }
    }

    private string TextValue(string key, JsonNode value) => value.GetValueKind() == JsonValueKind.String ? value.GetValue<string>() : throw Refuse(key, value, "a text");

    private AdapterException Refuse(string key, JsonNode value, string expected) =>
        new(file, $"{CheckpointException.Printable(key)} is {CheckpointException.Printable(value.ToJsonString())}, expected {expected}");
}
