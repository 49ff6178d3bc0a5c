namespace LongCat.ML.Tool.Jobs;

/// <summary>What a worker did.</summary>
/// <param name="Rows">Rows of the part.</param>
/// <param name="Failed">Those of them that failed; they are in the side file.</param>
/// <param name="FirstError">What was wrong with the first of them.</param>
/// <param name="Kept">Rows that an earlier process had done.</param>
/// <param name="Elapsed">Time of this process.</param>
internal sealed record ShardSummary(long Rows, long Failed, string? FirstError, long Kept, TimeSpan Elapsed);
