using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Changes single keys of a config.json and keeps every other byte of it: order, spelling of numbers, unknown keys, indentation. Nothing reaches the disk before
/// <see cref="Save"/>. Not for use by several threads at once.
/// </summary>
public sealed partial class ConfigEditor
{
    private readonly string file;
    private readonly string? folder;
    private byte[] text;

    private ConfigEditor(string file, byte[] text, string? folder)
    {
        this.file = file;
        this.folder = folder;
        this.text = text;
        _ = Members();
    }

    /// <summary>Reads a config.json.</summary>
    /// <param name="path">The file, the folder that holds <c>config.json</c>, or a model's folder in a Hugging Face cache.</param>
    /// <returns>An editor of the text; the file is not kept open.</returns>
    /// <exception cref="CheckpointException">The file is missing, too large, or no JSON object.</exception>
    /// <exception cref="ArgumentException"><paramref name="path"/> is null or empty.</exception>
    public static ConfigEditor Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? Path.Combine(HuggingFaceCache.Resolve(path), "config.json") : path;
        return new ConfigEditor(file, BoundedFile.Read(file, ModelConfig.LongestConfig).ToArray(), Path.GetDirectoryName(Path.GetFullPath(file)));
    }

    /// <summary>Takes the text of a config.json that lies in no file.</summary>
    /// <param name="json">The JSON text.</param>
    /// <param name="name">What error messages call it.</param>
    /// <returns>An editor of the text.</returns>
    /// <exception cref="CheckpointException">The text is no JSON object.</exception>
    public static ConfigEditor Parse(string json, string name = "config.json")
    {
        ArgumentNullException.ThrowIfNull(json);
        return new ConfigEditor(name, Encoding.UTF8.GetBytes(json), null);
    }

    /// <summary>Gives a key of the outermost object a value: in the key's place where it is there, behind the last key otherwise.</summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; null writes JSON's null.</param>
    /// <exception cref="ArgumentException"><paramref name="key"/> is null or empty.</exception>
    public void Set(string key, JsonNode? value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        List<Member> members = Members();
        Layout layout = Layout.Of(text, members);
        byte[] json = Encoding.UTF8.GetBytes(layout.Format(value));
        if (members.Find(member => member.Name == key) is { } member)
        {
            Replace(member.Value, member.End, json);
            return;
        }

        byte[] added = [.. Encoding.UTF8.GetBytes(layout.Separator), .. Encoding.UTF8.GetBytes(layout.Format(JsonValue.Create(key))), .. Encoding.UTF8.GetBytes(layout.Colon), .. json];
        if (members.Count > 0)
        {
            Replace(members[^1].End, members[^1].End, [(byte)',', .. added]);
        }
        else
        {
            int open = Array.IndexOf(text, (byte)'{') + 1;
            Replace(open, Array.LastIndexOf(text, (byte)'}'), [.. added, .. Encoding.UTF8.GetBytes(layout.Separator.Contains('\n', StringComparison.Ordinal) ? "\n" : "")]);
        }
    }

    /// <summary>Takes a key out of the outermost object.</summary>
    /// <param name="key">The key.</param>
    /// <returns>Whether it was there.</returns>
    /// <exception cref="ArgumentException"><paramref name="key"/> is null or empty.</exception>
    public bool Remove(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        List<Member> members = Members();
        int i = members.FindIndex(member => member.Name == key);
        if (i < 0)
        {
            return false;
        }

        // With the comma before it; the first of several with the comma behind it.
        int start = i > 0 ? members[i - 1].End : members[i].Start;
        int end = i == 0 && members.Count > 1 ? members[1].Start : members[i].End;
        Replace(start, end, []);
        return true;
    }

    /// <summary>The config as the text is now.</summary>
    /// <returns>What <see cref="ModelConfig.Load"/> would read from the saved file.</returns>
    /// <exception cref="CheckpointException">A value is missing, of the wrong type or out of range.</exception>
    public ModelConfig ToConfig() => ModelConfig.Parse(file, text, folder);

    /// <summary>Writes the text to a file that is whole or as it was: beside its name, then renamed.</summary>
    /// <param name="path">The file, or a folder that gets <c>config.json</c>.</param>
    /// <exception cref="CheckpointException">The text is no config of a supported model, or the file cannot be written.</exception>
    /// <exception cref="ArgumentException"><paramref name="path"/> is null or empty.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        _ = ToConfig();
        string target = Directory.Exists(path) ? Path.Combine(path, "config.json") : path;
        try
        {
            WholeFile.Replace(target, text);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(target, $"cannot be written: {e.Message}", e);
        }
    }

    /// <summary>The text as it is now.</summary>
    /// <returns>JSON.</returns>
    public override string ToString() => Encoding.UTF8.GetString(text);

    private void Replace(int start, int end, byte[] with) => text = [.. text.AsSpan(0, start), .. with, .. text.AsSpan(end)];

    /// <summary>The members of the outermost object, in the order of the text.</summary>
    private List<Member> Members()
    {
        List<Member> members = [];
        try
        {
            // A whole reading first: the walk below does not look for keys that are there twice.
            using JsonDocument whole = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            if (whole.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new CheckpointException(file, "config.json holds no JSON object");
            }

            Utf8JsonReader reader = new(text, new JsonReaderOptions { MaxDepth = 32 });
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                int start = (int)reader.TokenStartIndex;
                int afterName = start + reader.ValueSpan.Length + 2;
                string name = reader.GetString()!;
                reader.Read();
                int value = (int)reader.TokenStartIndex;
                reader.Skip();
                members.Add(new Member(name, start, afterName, value, (int)reader.BytesConsumed));
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException(file, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }

        return members;
    }

    /// <summary>Where a member lies: its name from Start to AfterName, its value from Value to End.</summary>
    private sealed record Member(string Name, int Start, int AfterName, int Value, int End);
}
