using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;

namespace LongCat.ML.Tool.Scoring;

/// <summary>
/// Runs rows of JSON lines, many in the engine at once, and gives them back in their order. A row that fails keeps its place, with an <c>error</c> field; whatever is wrong with it, the others stay whole.
/// </summary>
/// <param name="score">Adds the result to a row. Called for many rows at once.</param>
/// <param name="rowsInFlight">How many rows at most.</param>
internal sealed class RowRunner(Func<JsonObject, CancellationToken, Task> score, int rowsInFlight)
{
    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A field that rows may not have, because the output has one of that name; null for none.</summary>
    public string? Reserved { get; init; }

    /// <summary>Reads to the end.</summary>
    /// <param name="reader">The lines; blank ones are passed over.</param>
    /// <param name="write">Takes each row, in the order of the lines, as soon as those before it are there; it does not wait for further lines.</param>
    /// <param name="cancellationToken">Ends it: rows that were not yet written are not written any more.</param>
    public async Task RunAsync(JsonLineReader reader, Func<RowResult, ValueTask> write, CancellationToken cancellationToken)
    {
        // Rows whose writing failed, or that were cancelled, must not go on behind the caller's back.
        using CancellationTokenSource rows = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Queue<Task<RowResult>> window = new();
        Task<JsonLine?>? next = null;
        try
        {
            next = reader.ReadAsync(rows.Token).AsTask();
            while (next is not null || window.Count > 0)
            {
                // A pipe whose other end waits for an answer sends no further line before it.
                bool read = next is not null && window.Count < rowsInFlight && (window.Count == 0 || (!window.Peek().IsCompleted && await Task.WhenAny(next, window.Peek()).ConfigureAwait(false) == next));
                if (!read)
                {
                    await write(await window.Dequeue().ConfigureAwait(false)).ConfigureAwait(false);
                    continue;
                }

                if (await next!.ConfigureAwait(false) is not { } line)
                {
                    next = null;
                    continue;
                }

                if (!line.IsBlank)
                {
                    window.Enqueue(RowAsync(line, rows.Token));
                }

                next = reader.ReadAsync(rows.Token).AsTask();
            }
        }
        catch
        {
            await rows.CancelAsync().ConfigureAwait(false);
            _ = next?.ContinueWith(static read => read.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            await Task.WhenAll(window).ContinueWith(static ended => ended.Exception, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
            throw;
        }
    }

    private async Task<RowResult> RowAsync(JsonLine line, CancellationToken cancellationToken)
    {
        if (line.TooLong)
        {
            return Unreadable(line.Number, "the line is too long to be a row");
        }

        // Scoring a line with replaced bytes would score another text than the file's.
        if (!Utf8.IsValid(line.Bytes.Span))
        {
            return Unreadable(line.Number, "the line is not valid UTF-8");
        }

        JsonObject row;
        try
        {
            row = JsonNode.Parse(line.Bytes.Span) as JsonObject ?? throw new JsonException($"expected a JSON object, got {Shorten(System.Text.Encoding.UTF8.GetString(line.Bytes.Span))}");
            _ = row.Count; // forces the lazy object, so that duplicate keys show here
        }
        catch (Exception problem) when (problem is JsonException or ArgumentException)
        {
            return Unreadable(line.Number, problem.Message);
        }

        if (Reserved is not null && row.ContainsKey(Reserved))
        {
            return Unreadable(line.Number, $"the row has a field '{Reserved}', which parts of a job use for the number of the row; give the field another name");
        }

        try
        {
            await score(row, cancellationToken).ConfigureAwait(false);
            return new RowResult(line.Number, row.ToJsonString(Relaxed), null);
        }
        // One row's failure stays that row's: whatever it is, it becomes the row's error field. Only what was asked to stop is none.
        catch (Exception problem) when (problem is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            string message = $"line {line.Number}: {problem.Message}";
            row["error"] = message;
            try
            {
                return new RowResult(line.Number, row.ToJsonString(Relaxed), message);
            }
            catch (InvalidOperationException)
            {
                // The row itself cannot be written again, half a surrogate pair in a string for instance.
                return Unreadable(line.Number, problem.Message);
            }
        }
    }

    /// <summary>A JSON object in one line, as rows are written.</summary>
    public static string Text(JsonObject row) => row.ToJsonString(Relaxed);

    private static RowResult Unreadable(long line, string problem)
    {
        string message = $"line {line}: {problem}";
        return new RowResult(line, new JsonObject { ["line"] = line, ["error"] = message }.ToJsonString(Relaxed), message);
    }

    private static string Shorten(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
