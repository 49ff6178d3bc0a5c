using System.Globalization;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Reads typed, bounded values out of one JSON object of an untrusted config file. A refusal names the key, the value and what was expected.
/// A key whose value is null counts as absent, as in the Python configs.
/// </summary>
internal readonly struct ConfigReader(string file, JsonElement element, string prefix = "", string? folder = null)
{
    public string File { get; } = file;

    /// <summary>The folder that other files of the config are looked for in; null for a text that lies in no file.</summary>
    public string? Folder { get; } = folder;

    public bool Has(string key) => TryGet(key, out _);

    /// <summary>The keys whose value is not null, in the order of the file.</summary>
    public IReadOnlyList<string> Names() => [.. element.EnumerateObject().Where(property => property.Value.ValueKind != JsonValueKind.Null).Select(property => property.Name)];

    /// <summary>Whether the key is there with the value null, which a few keys tell from being absent.</summary>
    public bool IsNull(string key) => element.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Null;

    /// <summary>The first of several spellings of a key that is present, or the first spelling.</summary>
    public string Spelling(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            if (Has(key))
            {
                return key;
            }
        }

        return keys[0];
    }

    public int Int(string key, int least, int most)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}");
        JsonElement value = Required(key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least && number <= most
            ? number
            : throw Refuse(key, value, expected);
    }

    public int Int(string key, int least, int most, int whenAbsent) => Has(key) ? Int(key, least, most) : whenAbsent;

    public double Number(string key, double least, double most)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a number from {least:R} to {most:R}");
        JsonElement value = Required(key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && double.IsFinite(number)
            && number >= least && number <= most
                ? number
                : throw Refuse(key, value, expected);
    }

    public double Number(string key, double least, double most, double whenAbsent) => Has(key) ? Number(key, least, most) : whenAbsent;

    public double? OptionalNumber(string key, double least, double most) => Has(key) ? Number(key, least, most) : null;

    public bool Flag(string key, bool whenAbsent)
    {
        if (!TryGet(key, out JsonElement value))
        {
            return whenAbsent;
        }

        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Refuse(key, value, "true or false"),
        };
    }

    public string? Text(string key)
    {
        if (!TryGet(key, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.String ? ReadText(key, value) : throw Refuse(key, value, "a text");
    }

    /// <summary>A token id, a list of token ids, or nothing.</summary>
    public IReadOnlyList<int> TokenIds(string key, int vocabSize)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a token id from 0 to {vocabSize - 1}, or a list of at most 64 of them");
        if (!TryGet(key, out JsonElement value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            return [Id(key, value, vocabSize, expected)];
        }

        int length = value.GetArrayLength();
        if (length > 64)
        {
            throw Refuse(key, $"a list of {length}", expected);
        }

        List<int> ids = new(length);
        foreach (JsonElement item in value.EnumerateArray())
        {
            ids.Add(Id(key, item, vocabSize, expected));
        }

        return ids.AsReadOnly();
    }

    /// <summary>The first text of a list of texts; null where the key is absent or the list empty.</summary>
    public string? FirstText(string key)
    {
        const string Expected = "a list with one text";
        if (!TryGet(key, out JsonElement value))
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Refuse(key, value, Expected);
        }

        if (value.GetArrayLength() == 0)
        {
            return null;
        }

        JsonElement first = value[0];
        return first.ValueKind == JsonValueKind.String ? ReadText(key, first) : throw Refuse(key, first, Expected);
    }

    /// <summary>A list of exactly two whole numbers.</summary>
    public (int First, int Second) Pair(string key, int least, int most)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"two whole numbers from {least} to {most}");
        JsonElement value = Required(key, expected);
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() != 2)
        {
            throw Refuse(key, value, expected);
        }

        Span<int> pair = stackalloc int[2];
        for (int i = 0; i < 2; i++)
        {
            if (value[i].ValueKind != JsonValueKind.Number || !value[i].TryGetInt32(out pair[i]) || pair[i] < least || pair[i] > most)
            {
                throw Refuse(key, value, expected);
            }
        }

        return (pair[0], pair[1]);
    }

    /// <summary>A list of whole numbers; empty where the key is absent.</summary>
    public IReadOnlyList<int> IntList(string key, int least, int most, int longest)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a list of at most {longest} whole numbers from {least} to {most}");
        if (!TryGet(key, out JsonElement value))
        {
            return [];
        }

        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > longest)
        {
            throw Refuse(key, value, expected);
        }

        List<int> numbers = new(value.GetArrayLength());
        foreach (JsonElement item in value.EnumerateArray())
        {
            numbers.Add(item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out int number) && number >= least && number <= most
                ? number
                : throw Refuse(key, item, expected));
        }

        return numbers.AsReadOnly();
    }

    /// <summary>A list of as many texts as asked for, each one of a few words; null where the key is absent.</summary>
    public IReadOnlyList<string>? TextList(string key, int count, IReadOnlyList<string> words)
    {
        string expected = string.Create(CultureInfo.InvariantCulture, $"a list of {count} texts, each one of {string.Join(", ", words.Select(w => $"\"{w}\""))}");
        if (!TryGet(key, out JsonElement value))
        {
            return null;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Refuse(key, value, expected);
        }

        if (value.GetArrayLength() != count)
        {
            throw Refuse(key, string.Create(CultureInfo.InvariantCulture, $"a list of {value.GetArrayLength()}"), expected);
        }

        List<string> texts = new(count);
        foreach (JsonElement item in value.EnumerateArray())
        {
            string text = item.ValueKind == JsonValueKind.String ? ReadText(key, item) : throw Refuse(key, item, expected);
            texts.Add(words.Contains(text) ? text : throw Refuse(key, item, expected));
        }

        return texts.AsReadOnly();
    }

    public ConfigReader? Object(string key)
    {
        if (!TryGet(key, out JsonElement value))
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.Object
            ? new ConfigReader(File, value, $"{prefix}{key}.", Folder)
            : throw Refuse(key, value, "an object");
    }

    /// <summary>Whether the key holds something other than null, false, 0, "" or an empty list.</summary>
    public bool IsSet(string key) => TryGet(key, out JsonElement value) && value.ValueKind switch
    {
        JsonValueKind.False => false,
        JsonValueKind.Number => !value.TryGetDouble(out double number) || number != 0,
        JsonValueKind.String => value.ValueEquals("") is false,
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => true,
    };

    public CheckpointException Refuse(string key, string got, string expected) =>
        new(File, $"{prefix}{key} is {got}, expected {expected}");

    private CheckpointException Refuse(string key, JsonElement got, string expected) =>
        Refuse(key, CheckpointException.Printable(got.GetRawText()), expected);

    private bool TryGet(string key, out JsonElement value) =>
        element.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

    private JsonElement Required(string key, string expected) => TryGet(key, out JsonElement value)
        ? value
        : throw new CheckpointException(File, $"{prefix}{key} is missing, expected {expected}");

    private int Id(string key, JsonElement value, int vocabSize, string expected) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) && id >= 0 && id < vocabSize
            ? id
            : throw Refuse(key, value, expected);

    private string ReadText(string key, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Refuse(key, "no valid UTF-8", "a text");
        }
    }
}
