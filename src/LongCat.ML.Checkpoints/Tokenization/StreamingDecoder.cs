using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Decodes ids as they come. A token may end inside a character; its bytes are held back until the character is complete. Where characters fall back to
/// bytes (Llama 2, Mistral), a run of such tokens is held back until it ends, because one byte that does not fit makes all of it unreadable. The texts of
/// all calls, put together, equal <see cref="HuggingFaceTokenizer.Decode(IEnumerable{int}, bool)"/> of all ids.
/// </summary>
/// <remarks>Not thread-safe; one per stream. Holds no resources that need disposal.</remarks>
public sealed class StreamingDecoder
{
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private readonly DecoderChain? _chain;
    private char[] _buffer = new char[64];

    internal StreamingDecoder(HuggingFaceTokenizer tokenizer, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
        _chain = tokenizer.StartDecoder();
    }

    /// <summary>Whether text is held back that only later ids or <see cref="Flush"/> complete.</summary>
    internal bool HoldsBack => _chain?.HoldsBack ?? _decoder.GetCharCount([], flush: true) > 0;

    /// <summary>Takes one id.</summary>
    /// <param name="id">The id; one without a token adds nothing.</param>
    /// <returns>The text that is now complete; empty while a character is incomplete.</returns>
    public string Append(int id) => _chain is null
        ? Take(_tokenizer.BytesOf(id, _skipSpecialTokens), flush: false)
        : _tokenizer.TokenOf(id, _skipSpecialTokens) is { } token ? _chain.Append(token) : string.Empty;

    /// <summary>Ends the stream and makes the decoder ready for another.</summary>
    /// <returns>What was held back: U+FFFD for an incomplete character.</returns>
    public string Flush() => _chain is null ? Take([], flush: true) : _chain.Flush();

    private string Take(ReadOnlySpan<byte> bytes, bool flush)
    {
        // Up to three bytes may be held back from before.
        int most = Encoding.UTF8.GetMaxCharCount(bytes.Length + 3);
        if (_buffer.Length < most)
        {
            _buffer = new char[most];
        }

        int count = _decoder.GetChars(bytes, _buffer, flush);
        return count == 0 ? string.Empty : new string(_buffer, 0, count);
    }
}
