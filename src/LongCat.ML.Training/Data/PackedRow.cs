namespace LongCat.ML.Training.Data;

/// <summary>One row: pieces of documents, one after another.</summary>
internal sealed class PackedRow
{
    /// <summary>Which document, from which token, how many.</summary>
    public List<(int Document, int Start, int Length)> Pieces { get; } = [];

    /// <summary>Tokens in the row.</summary>
    public int Length { get; private set; }

    public void Add(int document, int start, int length)
    {
        Pieces.Add((document, start, length));
        Length += length;
    }
}
