namespace LongCat.ML.Tool.Scoring;

/// <summary>A line of a file of JSON lines.</summary>
/// <param name="Number">Its number in the whole file, from 1.</param>
/// <param name="Offset">Where it begins, in bytes from where reading began.</param>
/// <param name="Bytes">Its bytes without the line's end; a mark of byte order in front of the first line is left out. Empty where it is <paramref name="TooLong"/>.</param>
/// <param name="TooLong">Whether it is longer than the reader takes.</param>
internal readonly record struct JsonLine(long Number, long Offset, ReadOnlyMemory<byte> Bytes, bool TooLong)
{
    /// <summary>Whether it holds nothing but spaces: such a line is no row.</summary>
    public bool IsBlank => !TooLong && Bytes.Span.Trim(" \t\r\n\v\f"u8).IsEmpty;
}
