using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Jobs;
using LongCat.ML.Tool.Scoring;
using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Tool.Commands;

/// <summary>From where to where rows go: from a file or a pipe, into a file, a pipe, or a job's folder.</summary>
/// <param name="Input">The input file; null for standard input.</param>
/// <param name="Output">The output file or the job's folder; null for standard output.</param>
/// <param name="Shard">Which worker of a job this is; null where the output is a file or a pipe.</param>
/// <param name="Local">The arguments of the children that do all shards on this machine; null where this process does one.</param>
internal sealed record ScoreTarget(string? Input, string? Output, ShardChoice? Shard, IReadOnlyList<string>? Local)
{
    /// <summary>The field that rows of a job may not have.</summary>
    public string? ReservedField => Shard is null ? null : PartFiles.RowField;

    /// <summary>Runs the rows.</summary>
    /// <param name="settings">What decides the results, for a job.</param>
    /// <param name="start">Loads the model and gives what runs the rows.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<ScoreOutcome> RunAsync(IReadOnlyList<string> settings, Func<RowRunner> start, TextWriter error, CancellationToken cancellationToken)
    {
        using ProgressLine line = new("score", " rows");
        if (Shard is not null)
        {
            return await JobAsync(settings, start, error, line, cancellationToken).ConfigureAwait(false);
        }

        RowRunner runner = start();
        await using Stream input = Input is null ? Console.OpenStandardInput() : JobInput.Open(Input);
        long bytes = Input is null ? 0 : input.Length;
        if (Output is not null)
        {
            return new ScoreOutcome(await JsonLinesJob.RunAsync(runner, input, Output, bytes, line, cancellationToken).ConfigureAwait(false), Side: null);
        }

        await using Stream output = StandardOutput();
        return new ScoreOutcome(await JsonLinesJob.RunAsync(runner, input, output, 0, line, cancellationToken).ConfigureAwait(false), Side: null);
    }

    private async Task<ScoreOutcome> JobAsync(IReadOnlyList<string> settings, Func<RowRunner> start, TextWriter error, ProgressLine line, CancellationToken cancellationToken)
    {
        JobManifest manifest = await JobManifest.OpenAsync(Output!, Input!, Shard!.Count, settings, cancellationToken).ConfigureAwait(false);
        if (Local is not null)
        {
            int code = await new LocalWorkers(Shard.Count, Local, error).RunAsync(cancellationToken).ConfigureAwait(false);
            return new ScoreOutcome(code);
        }

        ShardWorker worker = new(Output!, manifest, Shard.Index, Input!);
        bool done = worker.IsDone;
        ShardSummary summary = done ? worker.Done() : await worker.RunAsync(() => Task.FromResult(start()), line, cancellationToken).ConfigureAwait(false);
        string kept = done ? ", which were done before" : summary.Kept > 0 ? $", {summary.Kept} of them done before" : "";
        return new ScoreOutcome(new JobSummary(summary.Rows, summary.Failed, summary.FirstError, summary.Elapsed), new PartFiles(Output!, Shard.Index).Errors)
        {
            What = $"{worker.Name}: {summary.Rows} rows{kept}",
            New = summary.Rows - summary.Kept,
        };
    }

    /// <summary>Standard output, whose end is an error as any file's is: the console's own stream passes over a pipe that nobody reads any more, and all rows would be run for nobody.</summary>
    private static Stream StandardOutput() =>
        OperatingSystem.IsWindows() ? Console.OpenStandardOutput() : new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);

    /// <summary>What would fail after the last row, or destroy something, is refused before the first.</summary>
    public static void CheckPaths(string input, string output)
    {
        CheckInput(input);
        if (Directory.Exists(output))
        {
            throw new IOException($"{output} is a folder, expected the name of a file to write");
        }

        if (Target(input) == Target(output))
        {
            throw new UsageException($"--output {output} is the input file; give another name");
        }

        // The output appears by renaming, which would put a plain file in the place of a device or a link.
        if (new FileInfo(output) is { Exists: true } existing
            && (existing.LinkTarget is not null || Path.GetFullPath(output).StartsWith("/dev/", StringComparison.Ordinal)))
        {
            throw new UsageException($"--output {output} is a link or a device, expected a plain file");
        }
    }

    public static void CheckInput(string input)
    {
        if (!File.Exists(input))
        {
            throw new FileNotFoundException(Directory.Exists(input) ? $"{input} is a folder, expected a file of JSON lines" : $"{input} does not exist");
        }
    }

    private static string Target(string path) => new FileInfo(path) is { Exists: true } file
        ? file.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? file.FullName
        : Path.GetFullPath(path);
}
