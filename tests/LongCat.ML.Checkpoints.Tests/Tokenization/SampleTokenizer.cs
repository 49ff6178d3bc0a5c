using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>Small tokenizer.json files: the 256 bytes (ids 0..255 in byte order) and a few merges, with the parts under test put in.</summary>
internal static class SampleTokenizer
{
    public const string Qwen2Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public static JsonObject Json(params string[] merges)
    {
        JsonObject vocabulary = [];
        for (int value = 0; value < 256; value++)
        {
            vocabulary[ByteLevelAlphabet.Spell([(byte)value])] = value;
        }

        foreach (string merge in merges)
        {
            string token = merge.Replace(" ", string.Empty, StringComparison.Ordinal);
            if (!vocabulary.ContainsKey(token))
            {
                vocabulary[token] = vocabulary.Count;
            }
        }

        return new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(),
            ["normalizer"] = null,
            ["pre_tokenizer"] = JsonNode.Parse("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"""),
            ["post_processor"] = null,
            ["decoder"] = JsonNode.Parse("""{"type":"ByteLevel"}"""),
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create(merge))]) },
        };
    }

    public static JsonObject With(this JsonObject json, string key, string value)
    {
        json[key] = JsonNode.Parse(value);
        return json;
    }

    /// <summary>A split by one pattern, then bytes.</summary>
    public static JsonObject WithSplit(this JsonObject json, string pattern, string behavior = "Isolated", bool invert = false)
    {
        json["pre_tokenizer"] = new JsonObject
        {
            ["type"] = "Sequence",
            ["pretokenizers"] = new JsonArray(
                new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = behavior, ["invert"] = invert },
                JsonNode.Parse("""{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""")),
        };
        return json;
    }

    public static HuggingFaceTokenizer Load(this JsonObject json) => LoadText(json.ToJsonString());

    public static HuggingFaceTokenizer LoadText(string text)
    {
        string path = Path.Combine(Path.GetTempPath(), $"tokenizer-{Guid.NewGuid():N}.json");
        try
        {
            File.WriteAllText(path, text);
            return HuggingFaceTokenizer.Load(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>The pieces that the pre-tokenizer makes of a text.</summary>
    public static string[] Pieces(this HuggingFaceTokenizer tokenizer, string text) =>
        [.. tokenizer.PreTokenizer!.PreTokenize(text).Select(piece => text.Substring(piece.Offset, piece.Length))];

    /// <summary>Random text of all planes, white space, combining marks, Hangul and (optionally) lone surrogates.</summary>
    public static string RandomText(Random random, int length, bool loneSurrogates = false)
    {
        System.Text.StringBuilder text = new();
        while (text.Length < length)
        {
            int point = random.Next(12) switch
            {
                0 => random.Next(0x20),
                1 or 2 or 3 => random.Next(0x20, 0x7F),
                4 => " \t\n\r\u00A0\u3000\u2028 "[random.Next(8)],
                5 => random.Next(0x80, 0x600),
                6 => random.Next(0x300, 0x370),
                7 => random.Next(0x4E00, 0x9FA6),
                8 => random.Next(0xAC00, 0xD7A4),
                9 => random.Next(0x1F300, 0x1FA00),
                10 => random.Next(0x10000, 0x110000),
                _ => loneSurrogates ? random.Next(0xD800, 0xE000) : random.Next(0xE000, 0x10000),
            };
            if (point is >= 0xD800 and < 0xE000)
            {
                text.Append((char)point);
            }
            else
            {
                text.Append(char.ConvertFromUtf32(point));
            }
        }

        return text.ToString();
    }
}
