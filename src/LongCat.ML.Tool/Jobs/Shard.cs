namespace LongCat.ML.Tool.Jobs;

/// <summary>The rows of one worker: whole lines of the input.</summary>
/// <param name="FirstByte">Where its first line begins in the input.</param>
/// <param name="EndByte">Behind its last line.</param>
/// <param name="FirstLine">The number of its first line, from 1.</param>
/// <param name="Lines">Its lines, blank ones among them.</param>
/// <param name="Rows">Its lines that are not blank.</param>
/// <param name="Sha256">Of its bytes.</param>
/// <param name="RowsSha256">Of the numbers of its rows' lines, each followed by a line feed: what a part is held against.</param>
internal sealed record Shard(long FirstByte, long EndByte, long FirstLine, long Lines, long Rows, string Sha256, string RowsSha256);
