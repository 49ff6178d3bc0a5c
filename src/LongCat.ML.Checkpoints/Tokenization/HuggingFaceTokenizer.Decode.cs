using System.Buffers;
using System.Text;

namespace LongCat.ML.Checkpoints;

public sealed partial class HuggingFaceTokenizer
{
    /// <summary>Decodes ids, special tokens included as text.</summary>
    /// <param name="ids">The ids; those without a token are left out.</param>
    /// <returns>The text; bytes that are no UTF-8 become U+FFFD.</returns>
    public override string Decode(IEnumerable<int> ids) => Decode(ids, skipSpecialTokens: false);

    /// <summary>Decodes ids.</summary>
    /// <param name="ids">The ids; those without a token are left out.</param>
    /// <param name="skipSpecialTokens">Whether to leave special tokens out.</param>
    /// <returns>The text; bytes that are no UTF-8 become U+FFFD.</returns>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens)
    {
        ArgumentNullException.ThrowIfNull(ids);
        if (_decoder is not null)
        {
            StreamingDecoder chain = CreateStreamingDecoder(skipSpecialTokens);
            System.Text.StringBuilder text = new();
            foreach (int id in ids)
            {
                text.Append(chain.Append(id));
            }

            return text.Append(chain.Flush()).ToString();
        }

        ArrayBufferWriter<byte> bytes = new(256);
        foreach (int id in ids)
        {
            bytes.Write(BytesOf(id, skipSpecialTokens));
        }

        return System.Text.Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <inheritdoc/>
    /// <remarks>
    /// Where the destination is too small, what is written ends between characters and decoding can go on with the ids that were not consumed. A decoder that
    /// drops the space of a text's first token (Llama 2, Mistral) drops it again there: give such tokenizers room for the whole text, or a
    /// <see cref="StreamingDecoder"/>.
    /// </remarks>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        ArgumentNullException.ThrowIfNull(ids);
        StreamingDecoder decoder = CreateStreamingDecoder();
        idsConsumed = charsWritten = 0;
        int ahead = 0, written = 0;
        foreach (int id in ids)
        {
            ahead++;
            if (!Write(decoder.Append(id), destination, ref written))
            {
                return OperationStatus.DestinationTooSmall;
            }

            // With nothing held back, this is a place to go on from.
            if (!decoder.HoldsBack)
            {
                (idsConsumed, charsWritten) = (ahead, written);
            }
        }

        if (!Write(decoder.Flush(), destination, ref written))
        {
            return OperationStatus.DestinationTooSmall;
        }

        (idsConsumed, charsWritten) = (ahead, written);
        return OperationStatus.Done;

        static bool Write(string text, Span<char> destination, ref int written)
        {
            bool fits = text.Length <= destination.Length - written;
            if (fits)
            {
                text.CopyTo(destination[written..]);
                written += text.Length;
            }

            return fits;
        }
    }

    /// <summary>A decoder that takes ids one by one and never gives out half a character.</summary>
    /// <param name="skipSpecialTokens">Whether to leave special tokens out.</param>
    /// <returns>A new decoder, which belongs to the caller.</returns>
    public StreamingDecoder CreateStreamingDecoder(bool skipSpecialTokens = false) => new(this, skipSpecialTokens);

    internal DecoderChain? StartDecoder() => _decoder?.Start();

    /// <summary>The token that a decoder sees for an id; null where it sees none.</summary>
    internal string? TokenOf(int id, bool skipSpecialTokens) => skipSpecialTokens && IsSpecial(id) ? null : IdToToken(id);

    internal ReadOnlySpan<byte> BytesOf(int id, bool skipSpecialTokens) =>
        (uint)id < (uint)_bytes.Length && !(skipSpecialTokens && IsSpecial(id)) ? _bytes[id] : default(ReadOnlySpan<byte>);
}
