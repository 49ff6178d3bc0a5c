using System.Globalization;

namespace LongCat.ML.Tool.Jobs;

/// <summary>The files of one shard in a job's folder.</summary>
/// <param name="folder">The job's folder.</param>
/// <param name="index">The shard, from 0.</param>
internal sealed class PartFiles(string folder, int index)
{
    /// <summary>The field in front of every row of a part: the number of its line in the input.</summary>
    public const string RowField = "_row";

    private readonly string _name = string.Create(CultureInfo.InvariantCulture, $"part-{index:D5}");

    /// <summary>The finished part: it is there when all its rows are.</summary>
    public string Part => Path.Combine(folder, _name + ".jsonl");

    /// <summary>The rows that failed, of a finished part; absent where none did.</summary>
    public string Errors => Path.Combine(folder, _name + ".errors.jsonl");

    /// <summary>The rows so far.</summary>
    public string PartialPart => Part + ".partial";

    public string PartialErrors => Errors + ".partial";

    /// <summary>Held by the one worker that works on the shard.</summary>
    public string Lock => Path.Combine(folder, _name + ".lock");

    /// <summary>A row's line of a part.</summary>
    public static string Line(long row, string json) => string.Create(CultureInfo.InvariantCulture, $"{{\"{RowField}\":{row},{json.AsSpan(1)}");

    /// <summary>The number of a line's row, and where the row itself goes on behind it.</summary>
    /// <returns>False where the line is none of a part.</returns>
    public static bool TryRow(ReadOnlySpan<byte> line, out long row, out int rest)
    {
        ReadOnlySpan<byte> start = "{\"_row\":"u8;
        row = rest = 0;
        if (!line.StartsWith(start) || line.Length < start.Length + 3 || line[^1] != (byte)'}')
        {
            return false;
        }

        bool number = System.Buffers.Text.Utf8Parser.TryParse(line[start.Length..], out row, out int length) && row > 0;
        rest = start.Length + length + 1;
        return number && rest <= line.Length && line[rest - 1] == (byte)',';
    }
}
