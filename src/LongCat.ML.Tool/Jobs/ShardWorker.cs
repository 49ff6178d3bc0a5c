using System.Diagnostics;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.Tool.Jobs;

/// <summary>Does one shard of a job: alone (a lock), from where an earlier process was when it ended, into files that appear under their names when they are whole.</summary>
/// <param name="folder">The job's folder.</param>
/// <param name="manifest">The job.</param>
/// <param name="index">The shard, from 0.</param>
/// <param name="input">The input.</param>
internal sealed class ShardWorker(string folder, JobManifest manifest, int index, string input)
{
    private readonly PartFiles _files = new(folder, index);
    private readonly Shard _shard = manifest.Shards[index];

    /// <summary>The worker in words, for messages.</summary>
    public string Name => $"shard {index}/{manifest.Shards.Count}";

    /// <summary>Whether the part is finished; then nothing is left to do.</summary>
    public bool IsDone => File.Exists(_files.Part);

    /// <summary>What a finished part has.</summary>
    public ShardSummary Done()
    {
        long failed = 0;
        string? first = null;
        foreach (string line in File.Exists(_files.Errors) ? File.ReadLines(_files.Errors) : [])
        {
            failed++;
            first ??= System.Text.Json.Nodes.JsonNode.Parse(line)?["error"]?.GetValue<string>();
        }

        return new ShardSummary(_shard.Rows, failed, first, _shard.Rows, TimeSpan.Zero);
    }

    /// <summary>Does what is left of the shard.</summary>
    /// <param name="start">Gives what runs the rows, once this process holds the shard and has found its rows unchanged: loading a model for nothing is dear.</param>
    /// <param name="progress">Told of every row.</param>
    /// <param name="cancellationToken">Ends it; what is done is kept.</param>
    /// <exception cref="TryAgainException">Another process has the shard, it was cancelled, or a file cannot be read or written (the disk is full): the same command may succeed later, and goes on from there.</exception>
    /// <exception cref="InvalidDataException">The input or the unfinished part was changed.</exception>
    public async Task<ShardSummary> RunAsync(Func<Task<RowRunner>> start, ProgressLine progress, CancellationToken cancellationToken)
    {
        Stopwatch clock = Stopwatch.StartNew();
        using FileStream held = Acquire();
        if (IsDone)
        {
            return Done();
        }

        long done = 0;
        try
        {
            await using FileStream stream = JobInput.Open(input);
            if (await JobInput.HashAsync(stream, _shard, null, cancellationToken).ConfigureAwait(false) is var hash && hash != _shard.Sha256)
            {
                throw new InvalidDataException($"{input}: the bytes {_shard.FirstByte}..{_shard.EndByte} of {Name} have the SHA-256 {hash}, expected {_shard.Sha256} as {JobManifest.FileName} says: the input has changed. Give the one that the job began with, or another output folder");
            }

            PartProgress part = await PartProgress.OpenAsync(_files, _shard, cancellationToken).ConfigureAwait(false);
            await using (part.ConfigureAwait(false))
            {
                long kept = done = part.Rows;
                JsonLineReader reader = await BehindAsync(stream, part.LastRow, cancellationToken).ConfigureAwait(false);
                if (kept < _shard.Rows)
                {
                    RowRunner runner = await start().ConfigureAwait(false);
                    await runner.RunAsync(
                        reader,
                        async row =>
                        {
                            await part.WriteAsync(row, cancellationToken).ConfigureAwait(false);
                            done++;
                            progress.Report(done, _shard.Rows);
                        },
                        cancellationToken).ConfigureAwait(false);
                }

                await part.FinishAsync(_files, _shard).ConfigureAwait(false);

                // Whoever waited for the lock finds the part; the name may go while it is held.
                File.Delete(_files.Lock);
                return new ShardSummary(part.Rows, part.Failed, part.FirstError, kept, clock.Elapsed);
            }
        }
        catch (OperationCanceledException problem) when (cancellationToken.IsCancellationRequested)
        {
            throw new TryAgainException($"{Name} was stopped with {done:N0} of {_shard.Rows:N0} rows, which are kept; the same command goes on from there", problem);
        }
        catch (Exception problem) when (problem is IOException and not FileNotFoundException and not DirectoryNotFoundException)
        {
            throw new TryAgainException($"{Name}: {problem.Message} The {done:N0} of {_shard.Rows:N0} rows so far are kept; the same command goes on from there", problem);
        }
    }

    private FileStream Acquire()
    {
        try
        {
            return new FileStream(_files.Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException problem) when (problem is not DirectoryNotFoundException)
        {
            throw new TryAgainException($"{Name} is another process's, which holds {_files.Lock} ({problem.Message}); try again when it has ended", problem);
        }
    }

    /// <summary>A reader of the shard's lines behind one of them.</summary>
    private async Task<JsonLineReader> BehindAsync(FileStream stream, long lastRow, CancellationToken cancellationToken)
    {
        stream.Position = _shard.FirstByte;
        JsonLineReader reader = new(stream, _shard.FirstLine, _shard.EndByte - _shard.FirstByte);
        for (long line = _shard.FirstLine; line <= lastRow; line++)
        {
            await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        }

        return reader;
    }
}
