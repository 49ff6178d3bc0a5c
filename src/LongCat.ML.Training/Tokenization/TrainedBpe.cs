using System.Text.Encodings.Web;
using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.Tokenization;

/// <summary>
/// A learned byte-level vocabulary. Ids: the special tokens first, then the 256 bytes, then one per merge. Immutable and thread-safe.
/// </summary>
public sealed class TrainedBpe
{
    private readonly BpeTrainerOptions _options;

    internal TrainedBpe(BpeTrainerOptions options, IReadOnlyList<(int Left, int Right)> merges)
    {
        _options = options;
        List<string> tokens = [.. options.SpecialTokens];
        tokens.AddRange(BytesInOrder.Select(value => ByteLevelAlphabet.Spell([value])));
        List<(string, string)> spelled = [];
        foreach ((int left, int right) in merges)
        {
            spelled.Add((tokens[left], tokens[right]));
            tokens.Add(tokens[left] + tokens[right]);
        }

        Tokens = tokens;
        Merges = spelled;
    }

    /// <summary>All bytes, ordered by the characters that stand for them; so are their ids.</summary>
    internal static byte[] BytesInOrder { get; } = [.. Enumerable.Range(0, 256).Select(value => (byte)value).OrderBy(ByteLevelAlphabet.ToCharacter)];

    /// <summary>The tokens by id, in the byte alphabet's spelling (a leading space is <c>Ġ</c>).</summary>
    public IReadOnlyList<string> Tokens { get; }

    /// <summary>The merges, most frequent first.</summary>
    public IReadOnlyList<(string Left, string Right)> Merges { get; }

    /// <summary>Writes <c>tokenizer.json</c> and <c>tokenizer_config.json</c>, each whole or not at all, into a folder that is made when it is missing.</summary>
    /// <param name="folder">The folder.</param>
    public void Save(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Directory.CreateDirectory(folder);
        Write(Path.Combine(folder, "tokenizer.json"), WriteTokenizer);
        Write(Path.Combine(folder, "tokenizer_config.json"), WriteConfiguration);
    }

    private static void Write(string path, Action<Utf8JsonWriter> content)
    {
        string temporary = path + ".partial";
        using (FileStream stream = File.Create(temporary))
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            content(json);
        }

        File.Move(temporary, path, overwrite: true);
    }

    private void WriteTokenizer(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("version", "1.0");
        json.WriteNull("truncation");
        json.WriteNull("padding");
        json.WriteStartArray("added_tokens");
        for (int id = 0; id < _options.SpecialTokens.Count; id++)
        {
            WriteAddedToken(json, id);
        }

        json.WriteEndArray();
        json.WriteNull("normalizer");

        json.WriteStartObject("pre_tokenizer");
        json.WriteString("type", "Sequence");
        json.WriteStartArray("pretokenizers");
        json.WriteStartObject();
        json.WriteString("type", "Split");
        json.WriteStartObject("pattern");
        json.WriteString("Regex", _options.Pattern);
        json.WriteEndObject();
        json.WriteString("behavior", "Isolated");
        json.WriteBoolean("invert", false);
        json.WriteEndObject();
        json.WriteStartObject();
        WriteByteLevel(json, useRegex: false);
        json.WriteEndArray();
        json.WriteEndObject();

        WritePostProcessor(json);
        json.WriteStartObject("decoder");
        WriteByteLevel(json, useRegex: true);
        WriteModel(json);
        json.WriteEndObject();
    }

    private void WriteAddedToken(Utf8JsonWriter json, int id)
    {
        json.WriteStartObject();
        json.WriteNumber("id", id);
        json.WriteString("content", _options.SpecialTokens[id]);
        json.WriteBoolean("single_word", false);
        json.WriteBoolean("lstrip", false);
        json.WriteBoolean("rstrip", false);
        json.WriteBoolean("normalized", false);
        json.WriteBoolean("special", true);
        json.WriteEndObject();
    }

    /// <summary>Fills and ends an object that was just started.</summary>
    private static void WriteByteLevel(Utf8JsonWriter json, bool useRegex)
    {
        json.WriteString("type", "ByteLevel");
        json.WriteBoolean("add_prefix_space", false);
        json.WriteBoolean("trim_offsets", false);
        json.WriteBoolean("use_regex", useRegex);
        json.WriteEndObject();
    }

    private void WritePostProcessor(Utf8JsonWriter json)
    {
        if (!_options.AddBeginOfText)
        {
            json.WriteNull("post_processor");
            return;
        }

        int id = _options.SpecialTokens.ToList().IndexOf(_options.BeginOfText);
        json.WriteStartObject("post_processor");
        json.WriteString("type", "TemplateProcessing");
        json.WriteStartArray("single");
        WriteTemplate(json, special: true, _options.BeginOfText, 0);
        WriteTemplate(json, special: false, "A", 0);
        json.WriteEndArray();
        json.WriteStartArray("pair");
        WriteTemplate(json, special: true, _options.BeginOfText, 0);
        WriteTemplate(json, special: false, "A", 0);
        WriteTemplate(json, special: true, _options.BeginOfText, 1);
        WriteTemplate(json, special: false, "B", 1);
        json.WriteEndArray();
        json.WriteStartObject("special_tokens");
        json.WriteStartObject(_options.BeginOfText);
        json.WriteString("id", _options.BeginOfText);
        json.WriteStartArray("ids");
        json.WriteNumberValue(id);
        json.WriteEndArray();
        json.WriteStartArray("tokens");
        json.WriteStringValue(_options.BeginOfText);
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteTemplate(Utf8JsonWriter json, bool special, string id, int type)
    {
        json.WriteStartObject();
        json.WriteStartObject(special ? "SpecialToken" : "Sequence");
        json.WriteString("id", id);
        json.WriteNumber("type_id", type);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private void WriteModel(Utf8JsonWriter json)
    {
        json.WriteStartObject("model");
        json.WriteString("type", "BPE");
        json.WriteNull("dropout");
        json.WriteNull("unk_token");
        json.WriteNull("continuing_subword_prefix");
        json.WriteNull("end_of_word_suffix");
        json.WriteBoolean("fuse_unk", false);
        json.WriteBoolean("byte_fallback", false);
        json.WriteBoolean("ignore_merges", false);
        json.WriteStartObject("vocab");
        for (int id = 0; id < Tokens.Count; id++)
        {
            json.WriteNumber(Tokens[id], id);
        }

        json.WriteEndObject();
        json.WriteStartArray("merges");
        foreach ((string left, string right) in Merges)
        {
            json.WriteStringValue($"{left} {right}");
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteConfiguration(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("tokenizer_class", "PreTrainedTokenizerFast");
        json.WriteString("bos_token", _options.BeginOfText);
        json.WriteString("eos_token", _options.EndOfText);
        json.WriteString("pad_token", _options.Padding);
        json.WriteString("unk_token", _options.Unknown);
        json.WriteBoolean("add_bos_token", _options.AddBeginOfText);
        json.WriteBoolean("add_eos_token", false);
        json.WriteBoolean("clean_up_tokenization_spaces", false);
        json.WriteEndObject();
    }
}
