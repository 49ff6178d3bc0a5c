namespace LongCat.ML.Checkpoints;

/// <summary>What a piece consists of before anything merges: the symbols of a byte-level or of a character-level vocabulary. Thread-safe.</summary>
internal abstract class PieceSymbols
{
    /// <summary>Writes the symbols of a piece.</summary>
    /// <param name="piece">The piece; lone surrogates count as U+FFFD.</param>
    /// <param name="ids">Receives ids (-1 for what has none); as long as the piece's UTF-8.</param>
    /// <param name="sizes">Receives how many bytes of the piece's UTF-8 each symbol covers.</param>
    /// <returns>How many there are.</returns>
    public abstract int Fill(ReadOnlySpan<char> piece, Span<int> ids, Span<int> sizes);

    /// <summary>Whether a piece is one token as a whole.</summary>
    public abstract bool TryWhole(ReadOnlySpan<char> piece, out int id);
}
