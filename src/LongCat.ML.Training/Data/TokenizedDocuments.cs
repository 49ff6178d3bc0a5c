namespace LongCat.ML.Training.Data;

/// <summary>Documents as token ids, begin- and end-of-sequence tokens included.</summary>
/// <param name="Documents">One array per document, none empty.</param>
public sealed record TokenizedDocuments(IReadOnlyList<int[]> Documents)
{
    /// <summary>All tokens.</summary>
    public long TokenCount { get; } = Documents.Sum(d => (long)d.Length);
}
