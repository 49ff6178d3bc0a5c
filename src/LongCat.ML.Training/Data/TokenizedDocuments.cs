namespace LongCat.ML.Training.Data;

/// <summary>Documents as token ids, begin- and end-of-sequence tokens included.</summary>
/// <param name="Documents">One array per document, none empty.</param>
/// <param name="Trainable">For each document which of its tokens a loss counts as targets; null where all are.</param>
public sealed record TokenizedDocuments(IReadOnlyList<int[]> Documents, IReadOnlyList<bool[]>? Trainable = null)
{
    /// <summary>All tokens.</summary>
    public long TokenCount { get; } = Documents.Sum(d => (long)d.Length);
}
