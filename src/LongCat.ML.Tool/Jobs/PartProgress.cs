using System.Text.Json;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Jobs;

/// <summary>
/// The unfinished files of a part, opened to go on. What a process that ended at any moment has left is brought into order: half a line at the end is cut off, and errors of rows that are not in the part go with it.
/// A failing row's error is written before the row, so no row of the part is without its error.
/// </summary>
internal sealed class PartProgress : IAsyncDisposable
{
    private readonly FileStream _part, _errors;
    private readonly RowNumbers _numbers;

    private PartProgress(FileStream part, FileStream errors, RowNumbers numbers, long lastRow, long failed, string? firstError)
    {
        (_part, _errors, _numbers) = (part, errors, numbers);
        (LastRow, Rows, Failed, FirstError) = (lastRow, numbers.Count, failed, firstError);
    }

    /// <summary>The line of the last row that is there; 0 where there is none.</summary>
    public long LastRow { get; private set; }

    public long Rows { get; private set; }

    public long Failed { get; private set; }

    public string? FirstError { get; private set; }

    public static async Task<PartProgress> OpenAsync(PartFiles files, Shard shard, CancellationToken cancellationToken)
    {
        // A process that ended between the two renamings of the end.
        if (File.Exists(files.Errors) && !File.Exists(files.PartialErrors))
        {
            File.Move(files.Errors, files.PartialErrors);
        }

        RowNumbers numbers = new();
        FileStream? part = null, errors = null;
        try
        {
            part = Open(files.PartialPart);
            long last = 0;
            await KeepAsync(part, (line, root) =>
            {
                if (!PartFiles.TryRow(line, out long row, out _) || row <= last || row < shard.FirstLine || row >= shard.FirstLine + shard.Lines)
                {
                    return false;
                }

                numbers.Add(last = row);
                return true;
            }, cancellationToken).ConfigureAwait(false);
            errors = Open(files.PartialErrors);
            long failed = 0;
            string? first = null;
            await KeepAsync(errors, (_, root) =>
            {
                if (!root.TryGetProperty("row", out JsonElement number) || !number.TryGetInt64(out long row) || row > last || !root.TryGetProperty("error", out JsonElement error))
                {
                    return false;
                }

                failed++;
                first ??= error.GetString();
                return true;
            }, cancellationToken).ConfigureAwait(false);
            return new PartProgress(part, errors, numbers, last, failed, first);
        }
        catch
        {
            numbers.Dispose();
            part?.Dispose();
            errors?.Dispose();
            throw;
        }
    }

    /// <summary>Appends a row; it is in the file, though perhaps not yet on the disk, when this returns.</summary>
    public async ValueTask WriteAsync(RowResult row, CancellationToken cancellationToken)
    {
        if (row.Error is not null)
        {
            string entry = RowRunner.Text(new() { ["row"] = row.Line, ["error"] = row.Error });
            await _errors.WriteAsync(System.Text.Encoding.UTF8.GetBytes(entry + "\n"), cancellationToken).ConfigureAwait(false);
            Failed++;
            FirstError ??= row.Error;
        }

        await _part.WriteAsync(System.Text.Encoding.UTF8.GetBytes(PartFiles.Line(row.Line, row.Json) + "\n"), cancellationToken).ConfigureAwait(false);
        _numbers.Add(row.Line);
        (LastRow, Rows) = (row.Line, Rows + 1);
    }

    /// <summary>Puts both files on the disk and gives them their names, the part last.</summary>
    /// <exception cref="InvalidDataException">The rows are not those of the shard.</exception>
    public async Task FinishAsync(PartFiles files, Shard shard)
    {
        if (_numbers.Take() != shard.RowsSha256)
        {
            throw new InvalidDataException($"{files.PartialPart} has {Rows:N0} rows, expected the {shard.Rows:N0} of lines {shard.FirstLine} to {shard.FirstLine + shard.Lines - 1}, each once: it was changed. Delete it to begin the shard anew");
        }

        _errors.Flush(flushToDisk: true);
        _part.Flush(flushToDisk: true);
        await DisposeAsync().ConfigureAwait(false);
        if (Failed > 0)
        {
            File.Move(files.PartialErrors, files.Errors, overwrite: true);
        }
        else
        {
            File.Delete(files.PartialErrors);
        }

        File.Move(files.PartialPart, files.Part, overwrite: true);
    }

    public async ValueTask DisposeAsync()
    {
        await _part.DisposeAsync().ConfigureAwait(false);
        await _errors.DisposeAsync().ConfigureAwait(false);
        _numbers.Dispose();
    }

    /// <summary>Unbuffered: what was written is the system's, and outlives this process.</summary>
    private static FileStream Open(string path) => new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 0, FileOptions.Asynchronous);

    private delegate bool Keeps(ReadOnlySpan<byte> line, JsonElement root);

    /// <summary>Cuts a file behind the last of its whole lines that are as expected, and stands there.</summary>
    private static async Task KeepAsync(FileStream file, Keeps keeps, CancellationToken cancellationToken)
    {
        long end = 0, length = file.Length;
        bool open = length > 0 && EndsInside(file, length);
        JsonLineReader reader = new(file, firstLine: 2);
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            if ((open && reader.Position == length) || line.TooLong || !IsKept(line.Bytes, keeps))
            {
                break;
            }

            end = reader.Position;
        }

        file.SetLength(end);
        file.Position = end;
    }

    private static bool IsKept(ReadOnlyMemory<byte> line, Keeps keeps)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            return document.RootElement.ValueKind == JsonValueKind.Object && keeps(line.Span, document.RootElement);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool EndsInside(FileStream file, long length)
    {
        file.Position = length - 1;
        bool inside = file.ReadByte() != '\n';
        file.Position = 0;
        return inside;
    }
}
