using System.Diagnostics;
using System.Text;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Scoring;

/// <summary>Runs a whole file of JSON lines into another, or a pipe into a pipe.</summary>
internal static class JsonLinesJob
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    /// <summary>The rows of the input, in their order, into the output.</summary>
    /// <param name="runner">Runs the rows.</param>
    /// <param name="input">The lines.</param>
    /// <param name="output">Where to write; every row is written as soon as it is there.</param>
    /// <param name="bytes">The input's length for the progress; 0 where it is not known.</param>
    /// <param name="progress">Told of every row.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async Task<JobSummary> RunAsync(RowRunner runner, Stream input, Stream output, long bytes, ProgressLine progress, CancellationToken cancellationToken)
    {
        Stopwatch clock = Stopwatch.StartNew();
        long rows = 0, failed = 0;
        string? firstError = null;
        JsonLineReader reader = new(input);
        await runner.RunAsync(
            reader,
            async row =>
            {
                rows++;
                if (row.Error is not null)
                {
                    failed++;
                    firstError ??= row.Error;
                }

                await output.WriteAsync(Utf8.GetBytes(row.Json + "\n"), cancellationToken).ConfigureAwait(false);
                if (bytes == 0)
                {
                    await output.FlushAsync(cancellationToken).ConfigureAwait(false);
                }

                progress.Report(rows, bytes == 0 ? 0 : rows * (double)bytes / Math.Max(reader.Position, 1));
            },
            cancellationToken).ConfigureAwait(false);
        await output.FlushAsync(cancellationToken).ConfigureAwait(false);
        return new JobSummary(rows, failed, firstError, clock.Elapsed);
    }

    /// <summary>As the other overload, into a file that appears under its name when it is whole.</summary>
    public static async Task<JobSummary> RunAsync(RowRunner runner, Stream input, string outputPath, long bytes, ProgressLine progress, CancellationToken cancellationToken)
    {
        string partial = outputPath + ".partial";
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(outputPath))!);
        try
        {
            JobSummary summary;
            await using (FileStream output = new(partial, FileMode.Create, FileAccess.Write, FileShare.Read, 1 << 16))
            {
                summary = await RunAsync(runner, input, output, bytes, progress, cancellationToken).ConfigureAwait(false);
            }

            File.Move(partial, outputPath, overwrite: true);
            return summary;
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }
}
