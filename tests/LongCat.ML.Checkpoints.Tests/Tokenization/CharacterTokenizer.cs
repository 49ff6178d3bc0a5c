using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests.Tokenization;

/// <summary>
/// Small tokenizer.json files of the Llama 2 and Mistral kind (characters, with bytes to fall back on), and the same tokenizer written a second time as
/// plainly and slowly as possible: merging by repeated search over a list of texts, decoding over whole lists.
/// </summary>
internal static class CharacterTokenizer
{
    public const string LlamaNormalizer = """{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}""";
    public const string LlamaDecoder = """
        {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}
        """;

    public static readonly string[] Merges =
        ["▁ t", "h e", "▁t he", "i n", "▁ a", "e r", "▁ ▁", "▁▁ ▁▁", "é é", "你 好", "😀 😀", "a b", "ab ab", "abab abab", "b a", "in g", "t t", "▁ 你", "< 0", "▁ i", "▁i n"];

    private const string Characters = "▁abcdefghinrstwé你好<0x>";

    public static JsonObject Json(bool byteFallback = true, bool fuseUnknown = true)
    {
        JsonObject vocabulary = new() { ["<unk>"] = 0, ["<s>"] = 1, ["</s>"] = 2 };
        for (int value = 0; byteFallback && value < 256; value++)
        {
            vocabulary["<0x" + value.ToString("X2", CultureInfo.InvariantCulture) + ">"] = vocabulary.Count;
        }

        foreach (string token in Characters.Select(c => c.ToString()).Append("😀").Concat(Merges.Select(merge => merge.Replace(" ", string.Empty, StringComparison.Ordinal))))
        {
            if (!vocabulary.ContainsKey(token))
            {
                vocabulary[token] = vocabulary.Count;
            }
        }

        return new JsonObject
        {
            ["added_tokens"] = JsonNode.Parse("""[{"id":0,"content":"<unk>","special":true,"normalized":false},{"id":1,"content":"<s>","special":true,"normalized":false},{"id":2,"content":"</s>","special":true,"normalized":false}]"""),
            ["normalizer"] = JsonNode.Parse(LlamaNormalizer),
            ["pre_tokenizer"] = null,
            ["post_processor"] = JsonNode.Parse("""{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}}"""),
            ["decoder"] = JsonNode.Parse(LlamaDecoder),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["unk_token"] = "<unk>",
                ["fuse_unk"] = fuseUnknown,
                ["byte_fallback"] = byteFallback,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. Merges.Select(merge => JsonValue.Create(merge))]),
            },
        };
    }

    /// <summary>The tokens of a stretch that is normalized and split already.</summary>
    public static List<string> SlowEncode(string piece, bool fuseUnknown, ISet<string> vocabulary)
    {
        List<string> symbols = [];
        foreach (Rune rune in piece.EnumerateRunes())
        {
            string character = rune.ToString();
            string[] bytes = [.. Encoding.UTF8.GetBytes(character).Select(value => "<0x" + value.ToString("X2", CultureInfo.InvariantCulture) + ">")];
            if (vocabulary.Contains(character))
            {
                symbols.Add(character);
            }
            else if (bytes.All(vocabulary.Contains))
            {
                symbols.AddRange(bytes);
            }
            else if (!(fuseUnknown && symbols.Count > 0 && symbols[^1] == "<unk>"))
            {
                symbols.Add("<unk>");
            }
        }

        while (true)
        {
            (int Rank, int At) best = (int.MaxValue, -1);
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                int rank = Array.IndexOf(Merges, symbols[i] + " " + symbols[i + 1]);
                if (rank >= 0 && rank < best.Rank)
                {
                    best = (rank, i);
                }
            }

            if (best.At < 0)
            {
                return symbols;
            }

            symbols[best.At] += symbols[best.At + 1];
            symbols.RemoveAt(best.At + 1);
        }
    }

    /// <summary>What <see cref="LlamaDecoder"/> makes of tokens.</summary>
    public static string SlowDecode(IEnumerable<string> tokens)
    {
        List<byte> run = [];
        StringBuilder text = new();
        foreach (string token in tokens.Select(token => token.Replace('▁', ' ')).Append(string.Empty))
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal))
            {
                run.Add(Convert.ToByte(token[3..5], 16));
                continue;
            }

            try
            {
                text.Append(new UTF8Encoding(false, throwOnInvalidBytes: true).GetString([.. run]));
            }
            catch (DecoderFallbackException)
            {
                text.Append('\uFFFD', run.Count);
            }

            run.Clear();
            text.Append(token);
        }

        return text.Length > 0 && text[0] == ' ' ? text.ToString(1, text.Length - 1) : text.ToString();
    }

    /// <summary>Random text of characters with tokens, characters without, spaces and repetitions.</summary>
    public static string RandomText(Random random, int length)
    {
        string[] parts = [" ", "  ", "▁", "the", " the", "ab", "abab", "é", "éé", "你好", "你", "😀", "😀😀", "ö", "世", "🐱", "ing", "in", "<0x41>", "\n", "t", "Z", "a"];
        StringBuilder text = new();
        while (text.Length < length)
        {
            text.Append(parts[random.Next(parts.Length)]);
        }

        return text.ToString();
    }
}
