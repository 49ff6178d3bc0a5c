using System.Text.Json;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Jobs;

/// <summary>Puts the parts of a job together and proves on the way that every row of the input is there, once and in its place.</summary>
internal static class PartsMerger
{
    /// <summary>Merges.</summary>
    /// <param name="folder">The job's folder.</param>
    /// <param name="output">The file to write; it appears when it is whole. Beside it <c>NAME.errors.jsonl</c> with the rows that failed, where some did.</param>
    /// <param name="keepNumbers">Whether rows keep the number of their line in the input.</param>
    /// <param name="progress">Told of every row.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <returns>How many rows there are, and how many of them failed.</returns>
    /// <exception cref="TryAgainException">Shards are not finished; the message says which.</exception>
    /// <exception cref="InvalidDataException">A part lacks a row, has one twice or in another place, or has lines that are no rows.</exception>
    public static async Task<(long Rows, long Failed)> MergeAsync(string folder, string output, bool keepNumbers, ProgressLine progress, CancellationToken cancellationToken)
    {
        JobManifest manifest = JobManifest.Read(folder);
        PartFiles[] parts = [.. manifest.Shards.Select((_, i) => new PartFiles(folder, i))];
        int[] missing = [.. Enumerable.Range(0, parts.Length).Where(i => !File.Exists(parts[i].Part))];
        if (missing.Length > 0)
        {
            throw new TryAgainException($"{missing.Length} of {parts.Length} shards are not finished: {string.Join(", ", missing.Take(16))}{(missing.Length > 16 ? ", …" : "")}; run longcat score with --shard i/{parts.Length} for each, then merge");
        }

        string errors = (output.EndsWith(".jsonl", StringComparison.Ordinal) ? output[..^6] : output) + ".errors.jsonl", partial = output + ".partial", partialErrors = errors + ".partial";
        try
        {
            long rows = 0, failed = 0;
            await using (FileStream merged = Create(partial))
            await using (FileStream side = Create(partialErrors))
            {
                for (int i = 0; i < parts.Length; i++)
                {
                    Dictionary<long, byte[]> failures = await ErrorsAsync(parts[i].Errors, cancellationToken).ConfigureAwait(false);
                    using RowNumbers numbers = new();
                    await using FileStream part = JobInput.Open(parts[i].Part);
                    JsonLineReader reader = new(part, firstLine: 2);
                    while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false) is { } line)
                    {
                        if (!PartFiles.TryRow(line.Bytes.Span, out long row, out int rest) || !IsObject(line.Bytes))
                        {
                            throw new InvalidDataException($"{parts[i].Part}: line {line.Number - 1} is no row of a part; it was changed or cut. Delete the part and run its shard again");
                        }

                        numbers.Add(row);
                        if (!keepNumbers)
                        {
                            merged.WriteByte((byte)'{');
                        }

                        await merged.WriteAsync(keepNumbers ? line.Bytes : line.Bytes[rest..], cancellationToken).ConfigureAwait(false);
                        merged.WriteByte((byte)'\n');
                        if (failures.Remove(row, out byte[]? failure))
                        {
                            await side.WriteAsync(failure, cancellationToken).ConfigureAwait(false);
                            failed++;
                        }

                        progress.Report(++rows, manifest.Rows);
                    }

                    long count = numbers.Count;
                    if (numbers.Take() != manifest.Shards[i].RowsSha256)
                    {
                        throw new InvalidDataException($"{parts[i].Part} has {count:N0} rows, and they are not the {manifest.Shards[i].Rows:N0} of lines {manifest.Shards[i].FirstLine} to {manifest.Shards[i].FirstLine + manifest.Shards[i].Lines - 1}, each once and in order. Delete the part and run its shard again");
                    }

                    if (failures.Count > 0)
                    {
                        throw new InvalidDataException($"{parts[i].Errors} has the row {failures.Keys.Min()}, which is not in the part. Delete both and run the shard again");
                    }
                }

                merged.Flush(flushToDisk: true);
                side.Flush(flushToDisk: true);
            }

            if (failed > 0)
            {
                File.Move(partialErrors, errors, overwrite: true);
            }
            else
            {
                File.Delete(errors);
            }

            File.Move(partial, output, overwrite: true);
            return (rows, failed);
        }
        finally
        {
            File.Delete(partial);
            File.Delete(partialErrors);
        }
    }

    private static FileStream Create(string path) => new(path, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 16);

    private static bool IsObject(ReadOnlyMemory<byte> line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            return document.RootElement.ValueKind == JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static async Task<Dictionary<long, byte[]>> ErrorsAsync(string path, CancellationToken cancellationToken)
    {
        Dictionary<long, byte[]> errors = [];
        if (!File.Exists(path))
        {
            return errors;
        }

        await using FileStream stream = JobInput.Open(path);
        JsonLineReader reader = new(stream, firstLine: 2);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            long row;
            try
            {
                using JsonDocument document = JsonDocument.Parse(line.Bytes);
                row = document.RootElement.GetProperty("row").GetInt64();
            }
            catch (Exception problem) when (problem is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
            {
                throw new InvalidDataException($"{path}: line {line.Number - 1} names no row; it was changed or cut. Delete the part and run its shard again", problem);
            }

            if (!errors.TryAdd(row, [.. line.Bytes.Span, (byte)'\n']))
            {
                throw new InvalidDataException($"{path} has the row {row} twice. Delete the part and run its shard again");
            }
        }

        return errors;
    }
}
