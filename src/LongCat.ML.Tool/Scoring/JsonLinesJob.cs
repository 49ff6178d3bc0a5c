using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Scoring;

/// <summary>
/// Reads JSON objects line by line, keeps many rows in the engine at once, and writes the rows in input order. A row that fails keeps its
/// place with an <c>error</c> field; the output appears under its name only when it is whole.
/// </summary>
internal sealed class JsonLinesJob(RowScorer scorer, int rowsInFlight)
{
    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>What stands in the place of bytes that are no UTF-8: a code point that no text may hold, so that U+FFFD stays an ordinary character.</summary>
    private const string NotUtf8 = "\uFFFF";

    private static readonly Encoding Utf8 = Encoding.GetEncoding("utf-8", EncoderFallback.ReplacementFallback, new DecoderReplacementFallback(NotUtf8));

    public async Task<JobSummary> RunAsync(string inputPath, string outputPath, ProgressLine progress, CancellationToken cancellationToken)
    {
        Stopwatch clock = Stopwatch.StartNew();
        string partial = outputPath + ".partial";
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(outputPath))!);
        long rows = 0, failed = 0, line = 0;
        string? firstError = null;
        long size = new FileInfo(inputPath).Length;
        try
        {
            await using (StreamWriter writer = new(partial, append: false))
            {
                await using FileStream stream = new(inputPath, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, useAsync: true);
                using StreamReader reader = new(stream, Utf8);
                Queue<Task<(string Json, string? Error)>> window = new();
                while (await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } text)
                {
                    line++;
                    if (string.IsNullOrWhiteSpace(text))
                    {
                        continue;
                    }

                    window.Enqueue(RowAsync(text, line, cancellationToken));
                    if (window.Count >= rowsInFlight)
                    {
                        await WriteNextAsync().ConfigureAwait(false);
                        progress.Report(rows, size == 0 ? 0 : rows * (double)size / Math.Max(stream.Position, 1));
                    }
                }

                while (window.Count > 0)
                {
                    await WriteNextAsync().ConfigureAwait(false);
                }

                async Task WriteNextAsync()
                {
                    (string json, string? problem) = await window.Dequeue().ConfigureAwait(false);
                    rows++;
                    if (problem is not null)
                    {
                        failed++;
                        firstError ??= problem;
                    }

                    await writer.WriteLineAsync(json.AsMemory(), cancellationToken).ConfigureAwait(false);
                }
            }

            File.Move(partial, outputPath, overwrite: true);
            return new JobSummary(rows, failed, firstError, clock.Elapsed);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    /// <summary>The row's line of output, and what was wrong with it.</summary>
    private async Task<(string Json, string? Error)> RowAsync(string text, long line, CancellationToken cancellationToken)
    {
        JsonObject row;
        // Scoring a line with replaced bytes would score another text than the file's.
        if (text.Contains(NotUtf8, StringComparison.Ordinal))
        {
            return Unreadable(line, "the line is not valid UTF-8");
        }

        try
        {
            row = JsonNode.Parse(text) as JsonObject ?? throw new JsonException($"expected a JSON object, got {Shorten(text)}");
            _ = row.Count; // forces the lazy object, so that duplicate keys show here
        }
        catch (Exception problem) when (problem is JsonException or ArgumentException)
        {
            return Unreadable(line, problem.Message);
        }

        try
        {
            await scorer.ScoreAsync(row, cancellationToken).ConfigureAwait(false);
            return (row.ToJsonString(Relaxed), null);
        }
        // One row's failure stays that row's: whatever it is, it becomes the row's error field.
        catch (Exception problem) when (problem is not OperationCanceledException)
        {
            string message = $"line {line}: {problem.Message}";
            row["error"] = message;
            try
            {
                return (row.ToJsonString(Relaxed), message);
            }
            catch (InvalidOperationException)
            {
                // The row itself cannot be written again, half a surrogate pair in a string for instance.
                return Unreadable(line, problem.Message);
            }
        }
    }

    private static (string Json, string? Error) Unreadable(long line, string problem)
    {
        string message = $"line {line}: {problem}";
        return (new JsonObject { ["line"] = line, ["error"] = message }.ToJsonString(Relaxed), message);
    }

    private static string Shorten(string text) => text.Length <= 40 ? text : text[..40] + "…";
}
