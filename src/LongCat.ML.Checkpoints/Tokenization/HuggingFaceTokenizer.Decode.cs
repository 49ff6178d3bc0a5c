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
        ArrayBufferWriter<byte> bytes = new(256);
        foreach (int id in ids)
        {
            bytes.Write(BytesOf(id, skipSpecialTokens));
        }

        return System.Text.Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <inheritdoc/>
    /// <remarks>Where the destination is too small, what is written ends between characters and decoding can go on with the ids that were not consumed.</remarks>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        ArgumentNullException.ThrowIfNull(ids);
        Decoder decoder = System.Text.Encoding.UTF8.GetDecoder();
        char[] buffer = new char[64];
        idsConsumed = charsWritten = 0;
        int ahead = 0, written = 0;
        foreach (int id in ids)
        {
            ahead++;
            ReadOnlySpan<byte> bytes = BytesOf(id, skipSpecialTokens: false);
            int most = System.Text.Encoding.UTF8.GetMaxCharCount(bytes.Length + 3);
            buffer = buffer.Length < most ? new char[most] : buffer;
            int count = decoder.GetChars(bytes, buffer, flush: false);
            if (count > destination.Length - written)
            {
                return OperationStatus.DestinationTooSmall;
            }

            buffer.AsSpan(0, count).CopyTo(destination[written..]);
            written += count;

            // With nothing held back, this is a place to go on from.
            if (decoder.GetCharCount([], flush: true) == 0)
            {
                (idsConsumed, charsWritten) = (ahead, written);
            }
        }

        int rest = decoder.GetChars([], buffer, flush: true);
        if (rest > destination.Length - written)
        {
            return OperationStatus.DestinationTooSmall;
        }

        buffer.AsSpan(0, rest).CopyTo(destination[written..]);
        (idsConsumed, charsWritten) = (ahead, written + rest);
        return OperationStatus.Done;
    }

    /// <summary>A decoder that takes ids one by one and never gives out half a character.</summary>
    /// <param name="skipSpecialTokens">Whether to leave special tokens out.</param>
    /// <returns>A new decoder, which belongs to the caller.</returns>
    public StreamingDecoder CreateStreamingDecoder(bool skipSpecialTokens = false) => new(this, skipSpecialTokens);

    internal ReadOnlySpan<byte> BytesOf(int id, bool skipSpecialTokens) =>
        (uint)id < (uint)_bytes.Length && !(skipSpecialTokens && IsSpecial(id)) ? _bytes[id] : default(ReadOnlySpan<byte>);
}
