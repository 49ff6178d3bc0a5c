using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LongCat.ML.Tool.Jobs;
using Xunit.Abstractions;

namespace LongCat.ML.ToolTests.Jobs;

/// <summary><c>longcat score</c> with shards, <c>merge-parts</c> and pipes: as a scheduler and a user run them, and killed as a scheduler kills.</summary>
public sealed class JobVerbTests : IClassFixture<ExportedFolder>
{
    private readonly ExportedFolder _folder;
    private readonly ITestOutputHelper _output;
    private readonly string _input, _name = Guid.NewGuid().ToString("N");

    public JobVerbTests(ExportedFolder folder, ITestOutputHelper output)
    {
        (_folder, _output) = (folder, output);
        _input = folder.File($"{_name}.jsonl");
        Write(90);
    }

    /// <summary>What a row that was cut off looks like.</summary>
    private const string Cut = "{\"id\": ";

    [Fact]
    public void Killed_at_any_moment_no_row_is_lost_or_done_twice()
    {
        // LONGCAT_KILLS=50 kills more often than a suite has time for.
        int kills = int.Parse(Environment.GetEnvironmentVariable("LONGCAT_KILLS") ?? "8", CultureInfo.InvariantCulture), rows = Math.Max(90, kills * 12);
        Write(rows);
        string whole = Whole();
        int total = whole.Count(c => c == '\n'), failed = File.ReadLines(_input).Count(line => line == Cut);
        string folder = _folder.File(_name);
        string[] arguments = Arguments(folder, "--shard", "0/1", "--rows-in-flight", "4", "--threads", "1");
        PartFiles files = new(folder, 0);
        Random random = new(Environment.TickCount);
        List<int> done = [];
        int starting = 0, halves = 0;
        for (int kill = 0; kill < kills; kill++)
        {
            using Process process = ToolProcess.Start("longcat", arguments);
            _ = process.StandardError.ReadToEndAsync();
            if (kill % 8 == 3)
            {
                // Some while they start: at the latest when the first new row is there, for on a fast machine the others follow at once.
                int before = Rows(files.PartialPart), wait = random.Next(400);
                Stopwatch clock = Stopwatch.StartNew();
                while (!process.HasExited && Rows(files.PartialPart) <= before && clock.ElapsedMilliseconds < wait)
                {
                    Thread.Sleep(1);
                }

                starting++;
            }
            else
            {
                // The others spread over the length of the run: some milliseconds behind the row that is due for this one, wherever the next rows are then.
                int due = total * (kill + 1) / (kills + 2);
                Stopwatch clock = Stopwatch.StartNew();
                while (!process.HasExited && Rows(files.PartialPart) < due && clock.Elapsed < TimeSpan.FromSeconds(90))
                {
                    Thread.Sleep(1);
                }

                process.WaitForExit(random.Next(8));
            }

            process.Kill();
            process.WaitForExit();
            Assert.False(File.Exists(files.Part), $"the run ended before kill {kill + 1} of {kills}: the rows are too few");
            done.Add(Rows(files.PartialPart));
            halves += File.Exists(files.PartialPart) && File.ReadAllBytes(files.PartialPart) is [.., not (byte)'\n'] ? 1 : 0;
        }

        int between = done.Count(count => count > 0 && count < total);
        ToolProcess last = ToolProcess.LongCat(arguments);
        Assert.Equal(1, last.ExitCode);
        Assert.True(between >= kills - starting - 1, $"{between} of {kills}");
        Assert.True(done.SequenceEqual(done.Order()), "a killed process took rows with it that were written");
        Assert.Equal(whole, Merged(folder, failed));
        Assert.True(File.Exists(_folder.File(_name + ".merged.errors.jsonl")));
        _output.WriteLine(
            $"{kills} kills, {starting} of them while starting, {between} with some of {total} rows written ({string.Join(", ", done)}), {halves} in half a line; merged parts equal one process's output byte for byte, each row once, {failed} failed rows in the side file");

        // A finished shard is not done again, whatever the worker is told about speed.
        ToolProcess again = ToolProcess.LongCat([.. arguments, "--max-failed-rows", failed.ToString(CultureInfo.InvariantCulture)]);
        Assert.Equal(0, again.ExitCode);
        Assert.Contains("which were done before", again.Error, StringComparison.Ordinal);
    }

    [UnixFact]
    public void A_worker_that_is_asked_to_end_says_try_again_and_keeps_its_rows()
    {
        string folder = _folder.File(_name);
        string[] arguments = ["score", _folder.Onnx, "--input", _input, "--output", folder, "--max-new-tokens", "48", "--shard", "0/1", "--rows-in-flight", "2", "--threads", "1"];
        PartFiles files = new(folder, 0);
        using Process process = ToolProcess.Start("longcat", arguments);
        Task<string> said = process.StandardError.ReadToEndAsync();
        Assert.True(SpinWait.SpinUntil(() => Length(files.PartialPart) > 0 || process.HasExited, TimeSpan.FromSeconds(90)));
        Assert.True(SmallDiskFactAttribute.Run("kill", "-TERM", process.Id.ToString(CultureInfo.InvariantCulture)));
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)));
        Assert.Equal(75, process.ExitCode);
        Assert.Contains("shard 0/1 was stopped with ", said.Result, StringComparison.Ordinal);
        Assert.Contains("which are kept; the same command goes on from there", said.Result, StringComparison.Ordinal);
        string kept = File.ReadAllText(files.PartialPart);
        Assert.EndsWith("\n", kept, StringComparison.Ordinal);

        ToolProcess next = ToolProcess.LongCat(arguments);
        Assert.Equal(1, next.ExitCode);
        Assert.Contains($"{kept.Count(c => c == '\n')} of them done before", next.Error, StringComparison.Ordinal);
        Assert.StartsWith(kept, File.ReadAllText(files.Part), StringComparison.Ordinal);
        string parts = Merged(folder), whole = _folder.File(_name + ".one");
        Assert.Equal(1, ToolProcess.LongCat("score", _folder.Onnx, "--input", _input, "--output", whole, "--max-new-tokens", "48").ExitCode);
        Assert.Equal(File.ReadAllText(whole), parts);
    }

    [UnixFact]
    public void A_pipe_that_nobody_reads_any_more_ends_the_run_with_a_word()
    {
        string rows = _folder.File(_name + ".many");
        File.WriteAllLines(rows, Enumerable.Range(0, 4000).Select(i => $"{{\"id\": {i}, \"text\": \"\"}}"));
        using Process process = ToolProcess.Start("longcat", ["score", _folder.Onnx, "--input", rows, "--stdout"]);
        Task<string> said = process.StandardError.ReadToEndAsync();
        Assert.NotNull(process.StandardOutput.ReadLine());
        process.StandardOutput.Close();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(90)));
        Assert.Equal(1, process.ExitCode);
        Assert.StartsWith("error: ", Assert.Single(said.Result.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public void Memory_for_the_caches_is_given_in_words_and_changes_no_result()
    {
        string few = _folder.File(_name + ".few");
        ToolProcess small = ToolProcess.LongCat(Arguments(few, "--cache-memory", "32K"));
        Assert.Equal(1, small.ExitCode);
        Assert.Equal(Whole(), File.ReadAllText(few));
        ToolProcess tiny = ToolProcess.LongCat(Arguments(few, "--cache-memory", "16k"));
        Assert.Contains("note: --cache-memory has room for sequences of ", tiny.Error, StringComparison.Ordinal);
        Refused(1, "EngineOptions.MemoryBudgetBytes is 1024", ToolProcess.LongCat(Arguments(few, "--cache-memory", "1K")));
        foreach (string wrong in new[] { "0", "-1", "1T", "M", "1.5G", "9999999999G" })
        {
            Refused(2, $"--cache-memory is {wrong}, expected a number of bytes above 0", ToolProcess.LongCat(Arguments(few, $"--cache-memory={wrong}")));
        }
    }

    [Fact]
    public void All_shards_on_one_machine_give_what_one_process_gives()
    {
        string whole = Whole();
        string folder = _folder.File(_name);
        ToolProcess run = ToolProcess.LongCat(Arguments(folder, "--shards", "3", "--local", "--max-failed-rows=0"));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("[2] shard 2/3: ", run.Error, StringComparison.Ordinal);
        Assert.Equal(whole, Merged(folder));
        Assert.Equal(3, JobManifest.Read(folder).Shards.Count);
    }

    [Fact]
    public void Schedulers_name_the_worker_and_75_says_try_again()
    {
        string folder = _folder.File(_name) + "/";
        Dictionary<string, string> environment = new() { ["SLURM_ARRAY_TASK_ID"] = "2", ["SLURM_ARRAY_TASK_COUNT"] = "2", ["SLURM_ARRAY_TASK_MIN"] = "1" };
        ToolProcess second = ToolProcess.With(environment, Arguments(folder, "--max-failed-rows", "9"));
        Assert.True(second.ExitCode == 0, second.Error);
        Assert.Contains("shard 1/2: ", second.Error, StringComparison.Ordinal);
        ToolProcess early = ToolProcess.LongCat("merge-parts", folder, "--output", _folder.File(_name + ".merged"));
        Assert.Equal(75, early.ExitCode);
        Assert.Contains("1 of 2 shards are not finished: 0;", early.Error, StringComparison.Ordinal);
        using (new FileStream(new PartFiles(folder, 0).Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
        {
            ToolProcess held = ToolProcess.LongCat(Arguments(folder, "--shard", "0/2"));
            Assert.Equal(75, held.ExitCode);
            Assert.Contains("shard 0/2 is another process's", held.Error, StringComparison.Ordinal);
        }

        Refused(1, "2 shards, and this worker was told of 3", ToolProcess.With(new() { ["JOB_COMPLETION_INDEX"] = "0", ["JOB_COMPLETION_COUNT"] = "3" }, Arguments(folder)));
        Refused(2, "Kubernetes does not set it", ToolProcess.With(new() { ["JOB_COMPLETION_INDEX"] = "0" }, Arguments(folder)));
        Refused(1, "'mode: generate', and this worker has 'mode: score'", ToolProcess.LongCat(Arguments(folder, "--shard", "0/2", "--mode", "score")));
        Refused(2, "--shards goes with --local", ToolProcess.LongCat(Arguments(folder, "--shards", "2")));
        Refused(2, "--local needs --shards", ToolProcess.LongCat(Arguments(folder, "--local")));
        Refused(2, "expected i/n", ToolProcess.LongCat(Arguments(folder, "--shard", "2/2")));
        Refused(1, "expected the folder of the job's parts", ToolProcess.LongCat("score", _folder.Onnx, "--input", _input, "--output", _input, "--shard", "0/1"));
        Refused(2, "a pipe cannot be read again", ToolProcess.LongCat("score", _folder.Onnx, "--stdin", "--output", folder));
        Refused(2, "give either --input or --stdin", ToolProcess.LongCat("score", _folder.Onnx, "--input", _input, "--stdin", "--stdout"));
        Refused(2, "--output is missing", ToolProcess.LongCat("score", _folder.Onnx, "--input", _input));
        Refused(1, "has no job.json", ToolProcess.LongCat("merge-parts", _folder.Onnx, "--output", _folder.File("x")));
    }

    [Fact]
    public async Task A_pipe_gets_each_row_before_it_sends_the_next()
    {
        using Process process = ToolProcess.Start("longcat", ["score", _folder.Onnx, "--stdin", "--stdout", "--max-new-tokens", "2"]);
        Task<string> error = process.StandardError.ReadToEndAsync();
        for (int i = 0; i < 4; i++)
        {
            process.StandardInput.WriteLine(i == 2 ? "no JSON" : $"{{\"id\": {i}, \"text\": \"abc\"}}");
            process.StandardInput.Flush();

            // Without an answer to a row before the next one is sent this ends with a TimeoutException.
            string? answer = await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(90));
            JsonObject row = JsonNode.Parse(answer!)!.AsObject();
            Assert.Equal(i == 2, row.ContainsKey("error"));
            Assert.Equal(i != 2, row.ContainsKey("completion"));
        }

        process.StandardInput.Close();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(90));
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("4 rows, 1 failed", await error, StringComparison.Ordinal);
    }

    private string[] Arguments(string output, params string[] more) => ["score", _folder.Onnx, "--input", _input, "--output", output, "--max-new-tokens", "6", .. more];

    private string Whole()
    {
        string path = _folder.File(_name + ".whole");
        ToolProcess run = ToolProcess.LongCat(Arguments(path));
        Assert.True(run.ExitCode == 1, run.Error);
        return File.ReadAllText(path);
    }

    private void Write(int rows)
    {
        Random random = new(4);
        File.WriteAllLines(_input, Enumerable.Range(0, rows).Select(i => i % 17 == 5 ? Cut : i % 23 == 7 ? "" : new JsonObject { ["id"] = i, ["text"] = $"row {i} " + new string((char)('a' + (i % 26)), random.Next(1, 60)) }.ToJsonString()));
    }

    private static int Rows(string path)
    {
        if (!File.Exists(path))
        {
            return 0;
        }

        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using StreamReader reader = new(file);
        return reader.ReadToEnd().Count(c => c == '\n');
    }

    private string Merged(string folder, int failed = 5)
    {
        string path = _folder.File(_name + ".merged.jsonl");
        ToolProcess run = ToolProcess.LongCat("merge-parts", folder, "--output", path);
        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Contains($"each once and in order, {failed} of them failed", run.Output, StringComparison.Ordinal);
        return File.ReadAllText(path);
    }

    private static void Refused(int exitCode, string message, ToolProcess run)
    {
        Assert.True(run.ExitCode == exitCode, run.Error);
        Assert.Contains(message, run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    private static long Length(string path) => new FileInfo(path) is { Exists: true } file ? file.Length : 0;
}
