using System.Buffers.Binary;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary>Token ids as the verbs take and give them: a list on the command line, or <c>input_ids</c> I64 [B, S] in a safetensors file.</summary>
internal static class TokenIds
{
    /// <summary>Parses <c>1,2,3</c>.</summary>
    /// <exception cref="UsageException">An entry is no whole number, or the list is empty.</exception>
    public static int[] Parse(string list)
    {
        string[] parts = list.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (parts.Length == 0)
        {
            throw new UsageException("--ids is empty, expected token ids such as 1,2,3");
        }

        return [.. parts.Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int id)
            ? id
            : throw new UsageException($"--ids holds '{part}', expected whole numbers from 0 such as 1,2,3"))];
    }

    /// <summary>Reads <c>input_ids</c> [B, S] as B rows.</summary>
    public static int[][] Read(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        if (!file.Tensors.TryGetValue("input_ids", out TensorEntry? entry))
        {
            throw new CheckpointException(path, "input_ids", $"is missing; the file has {string.Join(", ", file.Tensors.Keys.Take(8))}");
        }

        if (entry.Type != TensorType.Int64 || entry.Shape.Count != 2 || entry.Shape[0] < 1 || entry.Shape[1] < 1)
        {
            throw new CheckpointException(path, "input_ids",
                $"is {entry.Type} [{string.Join(", ", entry.Shape)}], expected Int64 [batch, sequence] with at least one token");
        }

        ReadOnlySpan<byte> bytes = file.GetBytes("input_ids");
        int[][] rows = new int[(int)entry.Shape[0]][];
        int length = (int)entry.Shape[1];
        for (int b = 0; b < rows.Length; b++)
        {
            rows[b] = new int[length];
            for (int s = 0; s < length; s++)
            {
                long id = BinaryPrimitives.ReadInt64LittleEndian(bytes[((b * length + s) * sizeof(long))..]);
                rows[b][s] = id is >= 0 and <= int.MaxValue
                    ? (int)id
                    : throw new CheckpointException(path, "input_ids", $"[{b}, {s}] is {id}, expected a token id from 0 to {int.MaxValue}");
            }
        }

        return rows;
    }
}
