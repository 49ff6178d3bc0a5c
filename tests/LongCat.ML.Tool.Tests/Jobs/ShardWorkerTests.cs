using System.Text;
using System.Text.Json.Nodes;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Jobs;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.ToolTests.Jobs;

/// <summary>What survives: no row is lost or done twice, whatever ends a worker and wherever.</summary>
public sealed class ShardWorkerTests : IDisposable
{
    private readonly JobFixture _job = new();

    public void Dispose() => _job.Dispose();

    [Theory]
    [InlineData(0, 2)]
    [InlineData(1, 3)]
    [InlineData(300, 1)]
    [InlineData(300, 5)]
    public async Task Merged_parts_are_what_one_process_writes(int rows, int count)
    {
        _job.WriteRows(rows);
        byte[] whole = await _job.WholeAsync();
        for (int shard = count - 1; shard >= 0; shard--)
        {
            await _job.RunAsync(shard, count);
        }

        (byte[] merged, long total, long failed) = await _job.MergeAsync();
        Assert.Equal(Encoding.UTF8.GetString(whole), Encoding.UTF8.GetString(merged));
        Assert.Equal(merged.Count(b => b == '\n'), total);

        // The side file has the failing rows by their numbers, in order; the output has them in their places.
        JsonObject[] objects = [.. File.ReadLines(_job["merged.jsonl"]).Select(line => JsonNode.Parse(line)!.AsObject())];
        Assert.Equal(objects.Count(row => row.ContainsKey("error")), failed);
        Assert.Equal(failed > 0, File.Exists(_job["merged.errors.jsonl"]));
        if (failed > 0)
        {
            JsonObject[] errors = [.. File.ReadLines(_job["merged.errors.jsonl"]).Select(line => JsonNode.Parse(line)!.AsObject())];
            Assert.Equal(objects.Where(row => row.ContainsKey("error")).Select(row => (string?)row["error"]), errors.Select(row => (string?)row["error"]));
            Assert.All(errors, error => Assert.StartsWith($"line {error["row"]}: ", (string?)error["error"], StringComparison.Ordinal));
            Assert.True(rows < 100 || errors.Any(error => ((string?)error["error"])!.Contains("the row is poisoned", StringComparison.Ordinal)));
        }

        Assert.Equal([JobManifest.FileName], Directory.GetFiles(_job.Folder).Select(Path.GetFileName).Where(name => !name!.StartsWith("part-", StringComparison.Ordinal)));
        Assert.DoesNotContain(Directory.GetFiles(_job.Folder), name => name.EndsWith(".partial", StringComparison.Ordinal) || name.EndsWith(".lock", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_a_killed_process_can_leave_is_continued_to_the_same_bytes()
    {
        _job.WriteRows(60);
        byte[] whole = await _job.WholeAsync();
        await _job.RunAsync(0, 1);
        PartFiles files = new(_job.Folder, 0);
        byte[] part = File.ReadAllBytes(files.Part), errors = File.ReadAllBytes(files.Errors);
        Random random = new(3);
        for (int trial = 0; trial < 120; trial++)
        {
            // Any beginning of the part; the errors are at least those of its rows, because they are written first. Sometimes blocks of zeros, which a lost machine leaves.
            int cut = random.Next(part.Length + 1);
            long last = Encoding.UTF8.GetString(part.AsSpan(0, cut)).Split('\n')[..^1].Select(line => PartFiles.TryRow(Encoding.UTF8.GetBytes(line), out long row, out _) ? row : 0).DefaultIfEmpty().Max();
            int needed = Encoding.UTF8.GetString(errors).Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => (long)JsonNode.Parse(line)!["row"]! <= last).Sum(line => Encoding.UTF8.GetByteCount(line) + 1);
            File.Delete(files.Part);
            File.Delete(files.Errors);
            File.WriteAllBytes(files.PartialPart, [.. part.AsSpan(0, cut), .. new byte[random.Next(3) == 0 ? 40 : 0], .. random.Next(5) == 0 ? "\n"u8 : default]);
            File.WriteAllBytes(random.Next(4) == 0 && needed == errors.Length ? files.Errors : files.PartialErrors, errors.AsSpan(0, Math.Min(errors.Length, needed + random.Next(200))).ToArray());
            List<long> scored = [];
            ShardSummary summary = await _job.RunAsync(0, 1, () => JobFixture.Runner(random.Next(1, 9)));
            Assert.InRange(summary.Kept, 0, summary.Rows);
            Assert.Equal(part, File.ReadAllBytes(files.Part));
            Assert.Equal(errors, File.ReadAllBytes(files.Errors));
            Assert.Equal(File.ReadAllLines(files.Errors).Length, summary.Failed);
        }

        Assert.Equal(whole, (await _job.MergeAsync()).Bytes);
    }

    [Fact]
    public async Task A_stopped_worker_says_try_again_and_no_row_is_scored_twice_afterwards()
    {
        _job.WriteRows(200);
        byte[] whole = await _job.WholeAsync();
        HashSet<string> written = [];
        for (int stop = 0; stop < 10; stop++)
        {
            using CancellationTokenSource source = new();
            int seen = 0;
            TryAgainException stopped = await Assert.ThrowsAsync<TryAgainException>(() => _job.RunAsync(0, 1, () => JobFixture.Runner(4, _ =>
            {
                if (Interlocked.Increment(ref seen) == 7)
                {
                    source.Cancel();
                }
            }), source.Token));
            Assert.Contains("which are kept", stopped.Message, StringComparison.Ordinal);

            // What is there stays: later lines only follow.
            string partial = File.ReadAllText(new PartFiles(_job.Folder, 0).PartialPart);
            string[] lines = partial.Split('\n')[..^1];
            Assert.True(written.IsSubsetOf(lines));
            written = [.. lines];
        }

        await _job.RunAsync(0, 1);
        Assert.Equal(whole, (await _job.MergeAsync()).Bytes);
    }

    [Fact]
    public async Task Two_workers_cannot_have_one_shard()
    {
        _job.WriteRows(50);
        TaskCompletionSource inside = new(TaskCreationOptions.RunContinuationsAsynchronously), go = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<ShardSummary> first = _job.RunAsync(1, 2, () => new RowRunner(
            async (row, _) =>
            {
                inside.TrySetResult();
                await go.Task;
            },
            3)
        { Reserved = PartFiles.RowField });
        await inside.Task;
        TryAgainException refused = await Assert.ThrowsAsync<TryAgainException>(() => _job.RunAsync(1, 2));
        Assert.Contains("shard 1/2 is another process's", refused.Message, StringComparison.Ordinal);
        await _job.RunAsync(0, 2);
        go.SetResult();
        ShardSummary done = await first;

        // Later it is done, and is not done again.
        ShardSummary again = await _job.RunAsync(1, 2, () => throw new InvalidOperationException("there is nothing left to do"));
        Assert.Equal((done.Rows, done.Failed, done.Rows), (again.Rows, again.Failed, again.Kept));
    }

    [Fact]
    public async Task Another_input_other_settings_or_another_number_of_workers_are_refused()
    {
        _job.WriteRows(50);
        await _job.RunAsync(0, 2);
        Assert.Contains("2 shards, and this worker was told of 3", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.RunAsync(0, 3))).Message, StringComparison.Ordinal);
        string message = (await Assert.ThrowsAsync<InvalidDataException>(() => JobManifest.OpenAsync(_job.Folder, _job.Input, 2, ["model: b", "mode: backwards"], default))).Message;
        Assert.Contains("'model: a', and this worker has 'model: b'", message, StringComparison.Ordinal);

        // Of the same length, one byte of the second shard is another.
        byte[] bytes = File.ReadAllBytes(_job.Input);
        File.WriteAllBytes(_job.Input, [.. bytes[..^10], (byte)(bytes[^10] ^ 1), .. bytes[^9..]]);
        Assert.Contains("the input has changed", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.RunAsync(1, 2))).Message, StringComparison.Ordinal);
        File.WriteAllBytes(_job.Input, bytes[..^1]);
        Assert.Contains("another input, or it has changed", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.RunAsync(1, 2))).Message, StringComparison.Ordinal);
        File.WriteAllBytes(_job.Input, bytes);
        await _job.RunAsync(1, 2);

        Directory.CreateDirectory(_job["other"]);
        File.WriteAllText(_job["other/thesis.txt"], "");
        Assert.Contains("holds thesis.txt and no job.json", (await Assert.ThrowsAsync<InvalidDataException>(() => JobManifest.OpenAsync(_job["other"], _job.Input, 2, [], default))).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_job.Folder, JobManifest.FileName), "{");
        Assert.Contains("cannot be read", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.RunAsync(1, 2))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Workers_that_begin_together_make_one_job()
    {
        _job.WriteRows(120);
        byte[] whole = await _job.WholeAsync();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(shard => Task.Run(() => _job.RunAsync(shard, 8))));
        Assert.Equal(whole, (await _job.MergeAsync()).Bytes);
    }

    [Fact]
    public async Task A_field_that_parts_use_is_the_rows_own_failure()
    {
        File.WriteAllText(_job.Input, "{\"text\": \"a\", \"_row\": 7}\n{\"text\": \"b\"}\n");
        ShardSummary summary = await _job.RunAsync(0, 1);
        Assert.Equal((2, 1), (summary.Rows, summary.Failed));
        Assert.Contains("line 1: the row has a field '_row'", summary.FirstError, StringComparison.Ordinal);
        Assert.Equal(["{\"_row\":1,", "{\"_row\":2,"], File.ReadLines(new PartFiles(_job.Folder, 0).Part).Select(line => line[..10]));
    }

    [Fact]
    public async Task A_merge_proves_that_every_row_is_there_once_and_in_order()
    {
        _job.WriteRows(80);
        await _job.RunAsync(0, 2);
        TryAgainException missing = await Assert.ThrowsAsync<TryAgainException>(() => _job.MergeAsync());
        Assert.Contains("1 of 2 shards are not finished: 1;", missing.Message, StringComparison.Ordinal);
        await _job.RunAsync(1, 2);
        await _job.MergeAsync(keep: true);
        PartFiles files = new(_job.Folder, 1);
        string[] lines = File.ReadAllLines(files.Part);
        byte[] before = File.ReadAllBytes(_job["merged.jsonl"]);
        Assert.EndsWith(string.Join('\n', lines) + "\n", Encoding.UTF8.GetString(before), StringComparison.Ordinal);

        await Refused("each once and in order", lines[1..]);
        await Refused("each once and in order", [.. lines, lines[^1]]);
        await Refused("each once and in order", [lines[1], lines[0], .. lines[2..]]);
        await Refused("is no row of a part", [.. lines[..^1], "{\"text\": 1}"]);
        await Refused("is no row of a part", [.. lines[..^1], lines[^1][..^1]]);
        File.WriteAllLines(files.Part, lines);
        File.AppendAllText(files.Errors, "{\"row\": 1, \"error\": \"x\"}\n");
        Assert.Contains("has the row 1, which is not in the part", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.MergeAsync())).Message, StringComparison.Ordinal);
        File.AppendAllText(files.Errors, "{\"row\": \"x\"}\n");
        Assert.Contains("names no row", (await Assert.ThrowsAsync<InvalidDataException>(() => _job.MergeAsync())).Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(_job["merged.jsonl"]));
        Assert.DoesNotContain(Directory.GetFiles(Path.GetDirectoryName(_job.Folder)!), name => name.EndsWith(".partial", StringComparison.Ordinal));

        async Task Refused(string expected, string[] changed)
        {
            File.WriteAllLines(files.Part, changed);
            Assert.Contains(expected, (await Assert.ThrowsAsync<InvalidDataException>(() => _job.MergeAsync())).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_row_that_gives_up_by_itself_is_a_row_that_failed()
    {
        // What a scorer's own limit of time throws, though nobody asked the worker to stop.
        File.WriteAllText(_job.Input, "{\"text\": \"a\"}\n{\"text\": \"slow\"}\n{\"text\": \"b\"}\n");
        ShardSummary summary = await _job.RunAsync(0, 1, () => JobFixture.Runner(before: row =>
        {
            if ((string?)row["text"] == "slow")
            {
                throw new TaskCanceledException("the row took too long");
            }
        }));
        Assert.Equal((3, 1, "line 2: the row took too long"), (summary.Rows, summary.Failed, summary.FirstError));
        Assert.Equal(3, (await _job.MergeAsync()).Rows);
    }

    [SmallDiskFact]
    public async Task A_side_file_that_finds_no_room_is_a_reason_to_try_again_and_costs_no_row()
    {
        _job.WriteRows(300);
        byte[] whole = await _job.WholeAsync();
        string disk = _job["disk"];
        Directory.CreateDirectory(disk);
        Directory.CreateDirectory(_job.Folder);
        Assert.True(SmallDiskFactAttribute.Run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk));
        try
        {
            // Only the side file lies on the small disk: the part itself could be written on.
            PartFiles files = new(_job.Folder, 0);
            await JobManifest.OpenAsync(_job["plan"], _job.Input, 1, JobFixture.Settings, default);
            File.Move(Path.Combine(_job["plan"], JobManifest.FileName), Path.Combine(_job.Folder, JobManifest.FileName));
            File.CreateSymbolicLink(files.PartialErrors, Path.Combine(disk, "errors"));
            TryAgainException full = await Assert.ThrowsAsync<TryAgainException>(() => _job.RunAsync(0, 1));
            Assert.Contains("rows so far are kept", full.Message, StringComparison.Ordinal);
            Assert.Contains("errors", full.Message, StringComparison.Ordinal);
            Assert.False(File.Exists(files.Part));
            Assert.Equal(4096, new FileInfo(Path.Combine(disk, "errors")).Length);
            Assert.True(SmallDiskFactAttribute.Run("mount", "-o", "remount,size=4m", disk));
            ShardSummary summary = await _job.RunAsync(0, 1);
            Assert.True(summary.Kept > 0);
            (byte[] merged, _, long failed) = await _job.MergeAsync();
            Assert.Equal(whole, merged);
            Assert.Equal((summary.Failed, summary.Failed), (failed, File.ReadLines(_job["merged.errors.jsonl"]).Count()));
        }
        finally
        {
            SmallDiskFactAttribute.Run("umount", disk);
        }
    }

    [SmallDiskFact]
    public async Task A_plain_file_that_finds_no_room_is_not_there_in_half()
    {
        _job.WriteRows(300);
        string disk = _job["disk"];
        Directory.CreateDirectory(disk);
        Assert.True(SmallDiskFactAttribute.Run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk));
        try
        {
            using ProgressLine line = new("score", " rows", TextWriter.Null);
            await using FileStream input = File.OpenRead(_job.Input);
            await Assert.ThrowsAsync<IOException>(() => JsonLinesJob.RunAsync(JobFixture.Runner(), input, Path.Combine(disk, "out.jsonl"), input.Length, line, CancellationToken.None));
            Assert.Empty(Directory.GetFileSystemEntries(disk));
        }
        finally
        {
            SmallDiskFactAttribute.Run("umount", disk);
        }
    }

    [SmallDiskFact]
    public async Task A_full_disk_is_a_reason_to_try_again_and_costs_no_row()
    {
        _job.WriteRows(300);
        byte[] whole = await _job.WholeAsync();
        string disk = _job["job"];
        Directory.CreateDirectory(disk);
        Assert.True(SmallDiskFactAttribute.Run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk));
        try
        {
            TryAgainException full = await Assert.ThrowsAsync<TryAgainException>(() => _job.RunAsync(0, 1));
            Assert.Contains("rows so far are kept", full.Message, StringComparison.Ordinal);
            Assert.True(SmallDiskFactAttribute.Run("mount", "-o", "remount,size=4m", disk));
            ShardSummary summary = await _job.RunAsync(0, 1);
            Assert.True(summary.Kept > 0);
            Assert.Equal(whole, (await _job.MergeAsync()).Bytes);
        }
        finally
        {
            SmallDiskFactAttribute.Run("umount", disk);
        }
    }
}
