namespace LongCat.ML.Tool.Scoring;

/// <summary>What a job over JSON lines did.</summary>
internal sealed record JobSummary(long Rows, long Failed, string? FirstError, TimeSpan Elapsed);
