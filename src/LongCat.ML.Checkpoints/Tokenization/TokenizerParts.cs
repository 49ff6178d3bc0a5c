using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>The parts of a tokenizer, read from tokenizer.json and checked.</summary>
internal sealed class TokenizerParts
{
    /// <summary>No published file comes near; a larger one is a mistake and would only exhaust memory.</summary>
    private const long LargestFile = 512L << 20;

    private TokenizerParts(TokenizerNode root)
    {
        Vocabulary = ReadVocabulary(root["model"]);
        Normalizer = TextNormalizer.Read(root["normalizer"]);
        PreTokenizer = StagedPreTokenizer.Read(root["pre_tokenizer"]);
        Model = ReadModel(root["model"], Vocabulary, PreTokenizer.IsByteLevel);
        Template = TokenTemplate.Read(root["post_processor"]);
        AddedTokens = root["added_tokens"].IsNull ? [] : [.. root["added_tokens"].Items().Select(ReadAddedToken)];
        Decoder = PreTokenizer.IsByteLevel ? null : TokenDecoder.Read(root["decoder"]);
        if (PreTokenizer.IsByteLevel)
        {
            CheckDecoder(root["decoder"]);
        }
    }

    public Dictionary<string, int> Vocabulary { get; }

    public BytePairModel Model { get; }

    public TextNormalizer? Normalizer { get; }

    public StagedPreTokenizer PreTokenizer { get; }

    public TokenTemplate Template { get; }

    public IReadOnlyList<AddedToken> AddedTokens { get; }

    /// <summary>What makes text of tokens; null where tokens are bytes spelled in the byte alphabet.</summary>
    public TokenDecoder? Decoder { get; }

    public static TokenizerParts Read(string path)
    {
        try
        {
            long length = new FileInfo(path).Length;
            if (length > LargestFile)
            {
                throw new CheckpointException(path, $"expected a tokenizer of at most {LargestFile} bytes, got {length}");
            }

            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return new TokenizerParts(new TokenizerNode(document.RootElement, string.Empty, path));
        }
        catch (FileNotFoundException error)
        {
            throw new CheckpointException(path, "the file does not exist; expected a tokenizer.json", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(path, $"the file cannot be read: {error.Message}", error);
        }
        catch (JsonException error)
        {
            throw new CheckpointException(path, $"expected JSON, got something else: {error.Message}", error);
        }
        catch (InvalidOperationException error)
        {
            // A JSON string that is no text: an escaped lone surrogate.
            throw new CheckpointException(path, $"a string is no valid Unicode: {error.Message}", error);
        }
    }

    private static Dictionary<string, int> ReadVocabulary(TokenizerNode model)
    {
        // The oldest files leave the type out.
        if (!model["type"].IsNull && model.Type != "BPE")
        {
            throw model.Unsupported("BPE");
        }

        foreach (string affix in new[] { "continuing_subword_prefix", "end_of_word_suffix" })
        {
            if (model[affix].TextOrNull() is { Length: > 0 })
            {
                throw model[affix].Expected("nothing: affixes are not supported");
            }
        }

        if (model["dropout"] is { IsNull: false } dropout && !(dropout.Element.ValueKind == JsonValueKind.Number && dropout.Element.GetDouble() == 0))
        {
            throw dropout.Expected("no dropout: encoding must be deterministic");
        }

        Dictionary<string, int> vocabulary = new(StringComparer.Ordinal);
        Dictionary<int, string> tokens = [];
        foreach ((string token, TokenizerNode value) in model["vocab"].Members())
        {
            int id = value.Id();
            if (!tokens.TryAdd(id, token))
            {
                throw value.Error($"id {id} is also that of \"{CheckpointException.Printable(tokens[id])}\"; expected one token per id");
            }

            if (!vocabulary.TryAdd(token, id))
            {
                throw value.Error("the token occurs twice");
            }
        }

        return vocabulary;
    }

    private static BytePairModel ReadModel(TokenizerNode model, Dictionary<string, int> vocabulary, bool byteLevel)
    {
        Dictionary<long, BytePairModel.Merge> merges = [];
        int rank = 0;
        foreach (TokenizerNode merge in model["merges"].Items())
        {
            (string left, string right) = ReadMerge(merge);

            // As in the reference, a pair listed twice keeps its last rank.
            merges[BytePairModel.Pair(Id(left), Id(right))] = new BytePairModel.Merge(rank++, Id(left + right));

            int Id(string token) => vocabulary.TryGetValue(token, out int id)
                ? id
                : throw merge.Error($"expected tokens of the vocabulary, got \"{CheckpointException.Printable(token)}\", which is none");
        }

        int unknown = -1;
        if (model["unk_token"].TextOrNull() is { Length: > 0 } token && !vocabulary.TryGetValue(token, out unknown))
        {
            unknown = -1;
        }

        bool fuse = model["fuse_unk"].Flag(false), fallback = model["byte_fallback"].Flag(false);
        PieceSymbols symbols = byteLevel ? new ByteSymbols(vocabulary, unknown, fuse) : new CharacterSymbols(vocabulary, unknown, fuse, fallback);
        return new BytePairModel(symbols, merges, model["ignore_merges"].Flag(false));
    }

    private static (string Left, string Right) ReadMerge(TokenizerNode merge)
    {
        if (merge.Element.ValueKind == JsonValueKind.String)
        {
            string text = merge.Text();
            int space = text.IndexOf(' ');
            if (space > 0 && space < text.Length - 1 && text.IndexOf(' ', space + 1) < 0)
            {
                return (text[..space], text[(space + 1)..]);
            }
        }
        else if (merge.Element.ValueKind == JsonValueKind.Array && merge.Element.GetArrayLength() == 2)
        {
            TokenizerNode[] pair = [.. merge.Items()];
            return (pair[0].Text(), pair[1].Text());
        }

        throw merge.Expected("two tokens, as \"a b\" or [\"a\", \"b\"]");
    }

    private static AddedToken ReadAddedToken(TokenizerNode node) => new(
        node["id"].Id(),
        node["content"].Text(),
        node["special"].Flag(false),
        node["single_word"].Flag(false),
        node["lstrip"].Flag(false),
        node["rstrip"].Flag(false),
        node["normalized"].Flag(!node["special"].Flag(false)));

    /// <summary>The decoder must be ByteLevel, alone or with Fuse; a missing one is taken as ByteLevel, the only inverse there is.</summary>
    private static void CheckDecoder(TokenizerNode node)
    {
        if (node.IsNull || node.Type is "ByteLevel" or "Fuse")
        {
            return;
        }

        if (node.Type != "Sequence")
        {
            throw node.Unsupported("ByteLevel, Fuse, Sequence");
        }

        foreach (TokenizerNode child in node["decoders"].Items())
        {
            CheckDecoder(child);
        }
    }
}
