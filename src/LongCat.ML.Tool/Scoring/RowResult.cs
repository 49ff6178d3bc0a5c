namespace LongCat.ML.Tool.Scoring;

/// <summary>What became of a row.</summary>
/// <param name="Line">The number of its line, from 1.</param>
/// <param name="Json">Its line of the output: the row with the result's fields, or with an <c>error</c>.</param>
/// <param name="Error">What was wrong with it; null where nothing was.</param>
internal sealed record RowResult(long Line, string Json, string? Error);
