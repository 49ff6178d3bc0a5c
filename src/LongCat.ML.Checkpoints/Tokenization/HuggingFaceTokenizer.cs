using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A BPE tokenizer as a Hugging Face <c>tokenizer.json</c> describes it, over bytes (GPT-2, Qwen2, Llama 3, LongCat and their kin) or over characters with
/// bytes to fall back on (Llama 2, Mistral): normalizer, split stages, merges, added tokens, post-processing and decoder are read from the file; nothing is
/// assumed from the model's name.
/// </summary>
/// <remarks>
/// <para>Encoding never fails, whatever the text: lone surrogates count as U+FFFD. Special tokens written out in the text become their ids. The one exception
/// is the file's fault: a pattern in it that needs more than five seconds for one match ends in a <see cref="CheckpointException"/>.</para>
/// <para>Decoding follows the reference: ids without a token decode to nothing, bytes that are no UTF-8 to U+FFFD.</para>
/// <para>Immutable and thread-safe; holds no resources that need disposal.</para>
/// </remarks>
public sealed partial class HuggingFaceTokenizer : Tokenizer
{
    private readonly BytePairModel _model;
    private readonly StagedPreTokenizer _preTokenizer;
    private readonly TextNormalizer? _normalizer;
    private readonly TokenTemplate _template;
    private readonly TokenDecoder? _decoder;
    private readonly AddedTokenMatcher? _rawMatcher;
    private readonly AddedTokenMatcher? _normalizedMatcher;
    private readonly Dictionary<string, int> _ids;
    private readonly string?[] _tokens;
    private readonly byte[]?[] _bytes;
    private readonly Dictionary<string, int> _special;
    private readonly HashSet<int> _specialIds;
    private readonly HashSet<int> _addedIds;

    private readonly string _file;

    private HuggingFaceTokenizer(TokenizerParts parts, string file)
    {
        _file = file;
        _model = parts.Model;
        _preTokenizer = parts.PreTokenizer;
        _normalizer = parts.Normalizer;
        _template = parts.Template;
        _decoder = parts.Decoder;

        AddedToken[] added = [.. parts.AddedTokens.Where(token => token.Content.Length > 0)];
        _rawMatcher = Matcher(added.Where(token => !token.Normalized).Select(token => (token, token.Content)));
        _normalizedMatcher = Matcher(added.Where(token => token.Normalized).Select(token => (token, _normalizer?.Normalize(token.Content) ?? token.Content)));

        _ids = new Dictionary<string, int>(parts.Vocabulary, StringComparer.Ordinal);
        int count = _ids.Values.Concat(added.Select(token => token.Id)).DefaultIfEmpty(-1).Max() + 1;
        _tokens = new string?[count];
        _bytes = new byte[]?[count];
        foreach ((string token, int id) in parts.Vocabulary)
        {
            _tokens[id] = token;
            _bytes[id] = _decoder is null ? ByteLevelAlphabet.BytesOf(token) : null;
        }

        foreach (AddedToken token in added)
        {
            _ids[token.Content] = token.Id;
            _tokens[token.Id] = token.Content;
            _bytes[token.Id] = System.Text.Encoding.UTF8.GetBytes(token.Content);
        }

        _special = added.Where(token => token.Special).DistinctBy(token => token.Content).ToDictionary(token => token.Content, token => token.Id, StringComparer.Ordinal);
        _specialIds = [.. _special.Values];
        _addedIds = [.. added.Select(token => token.Id)];
    }

    /// <summary>The number of ids, unused ones between used ones included: the largest id plus one. Models may have more rows than that.</summary>
    public int VocabularySize => _tokens.Length;

    /// <summary>The special tokens (added tokens marked as special) and their ids.</summary>
    public IReadOnlyDictionary<string, int> SpecialTokens => _special;

    /// <summary>
    /// The file's split stages; without any, texts stay whole. <c>add_prefix_space</c> and <c>prepend_scheme</c> also put a character before pieces, which
    /// offsets cannot show.
    /// </summary>
    public override PreTokenizer? PreTokenizer => _preTokenizer;

    /// <summary>The file's normalizer, or null.</summary>
    public override Normalizer? Normalizer => _normalizer;

    /// <summary>Reads a tokenizer.</summary>
    /// <param name="path">A <c>tokenizer.json</c>, or the folder that holds it.</param>
    /// <returns>The tokenizer.</returns>
    /// <exception cref="CheckpointException">
    /// The file is missing, malformed or asks for something that is not supported; the message names the file, the key, what was expected and what came.
    /// </exception>
    public static HuggingFaceTokenizer Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? Path.Combine(HuggingFaceCache.Resolve(path), "tokenizer.json") : path;
        return new HuggingFaceTokenizer(TokenizerParts.Read(file), file);
    }

    /// <summary>The id of a token.</summary>
    /// <param name="token">A token as the vocabulary spells it (byte alphabet), or an added token's text.</param>
    /// <returns>Its id, or null.</returns>
    public int? TokenToId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return _ids.TryGetValue(token, out int id) ? id : null;
    }

    /// <summary>The token of an id.</summary>
    /// <param name="id">Any number.</param>
    /// <returns>The token as the vocabulary spells it, or null where there is none.</returns>
    public string? IdToToken(int id) => (uint)id < (uint)_tokens.Length ? _tokens[id] : null;

    /// <summary>Whether an id is a special token's.</summary>
    /// <param name="id">Any number.</param>
    /// <returns>True for the ids of <see cref="SpecialTokens"/>.</returns>
    public bool IsSpecial(int id) => _specialIds.Contains(id);

    /// <summary>Whether tokens are bytes (GPT-2, Qwen, Llama 3, LongCat) rather than characters (Llama 2, Mistral): then a text's bytes are those of its tokens, one after another.</summary>
    public bool IsByteLevel => _decoder is null;

    /// <summary>Whether an id is an added token's: one that is found in a text before anything else, and that merges never make.</summary>
    /// <param name="id">Any number.</param>
    /// <returns>True for special tokens and other added ones.</returns>
    public bool IsAdded(int id) => _addedIds.Contains(id);

    /// <summary>The bytes that a token adds to a decoded text, special tokens included.</summary>
    /// <param name="id">Any number.</param>
    /// <returns>The bytes, UTF-8 once all tokens are put together; empty where there is no token, and always empty where <see cref="IsByteLevel"/> is false.</returns>
    public ReadOnlySpan<byte> TokenBytes(int id) => BytesOf(id, skipSpecialTokens: false);

    /// <summary>Pieces in the encoding cache; for tests.</summary>
    internal int CachedPieces => _model.CachedPieces;

    private static AddedTokenMatcher? Matcher(IEnumerable<(AddedToken, string)> tokens)
    {
        (AddedToken, string)[] found = [.. tokens.Where(entry => entry.Item2.Length > 0)];
        return found.Length == 0 ? null : new AddedTokenMatcher(found);
    }
}
