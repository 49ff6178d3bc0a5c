using System.Text;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Jobs;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.ToolTests.Jobs;

/// <summary>Lines and shards: whatever the file and however it is cut, every line is read once, whole, under its own number.</summary>
public sealed class ShardPlanTests : IDisposable
{
    private readonly JobFixture _job = new();

    public void Dispose() => _job.Dispose();

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0, 3)]
    [InlineData(1, 4)]
    [InlineData(40, 1)]
    [InlineData(40, 3)]
    [InlineData(40, 200)]
    [InlineData(400, 7)]
    public async Task Shards_are_the_files_lines_in_order(int rows, int count)
    {
        for (int seed = 0; seed < 5; seed++)
        {
            _job.WriteRows(rows, seed);
            List<JsonLine> whole = await LinesAsync(0, long.MaxValue, 1);
            (IReadOnlyList<Shard> shards, string hash) = await ShardPlan.CreateAsync(_job.Input, count, CancellationToken.None);
            Assert.Equal(count, shards.Count);
            Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(_job.Input))), hash);
            List<JsonLine> parts = [];
            foreach (Shard shard in shards)
            {
                List<JsonLine> lines = await LinesAsync(shard.FirstByte, shard.EndByte - shard.FirstByte, shard.FirstLine);
                Assert.Equal((shard.Lines, shard.Rows), (lines.Count, lines.LongCount(line => !line.IsBlank)));
                parts.AddRange(lines);
            }

            Assert.Equal(whole.Select(Text), parts.Select(Text));
            Assert.Equal(new FileInfo(_job.Input).Length, shards[^1].EndByte);

            // About as many bytes each: none has more than its share and one line.
            long longest = whole.Count == 0 ? 0 : whole.Max(line => line.Bytes.Length + 2), share = (new FileInfo(_job.Input).Length / count) + 1;
            Assert.All(shards, shard => Assert.InRange(shard.EndByte - shard.FirstByte, 0, share + longest));
        }

        static string Text(JsonLine line) => $"{line.Number} {Convert.ToHexString(line.Bytes.Span)}";
    }

    [Fact]
    public async Task Lines_longer_than_the_reader_takes_are_passed_over_and_the_next_is_whole()
    {
        foreach (int length in (int[])[99, 100, 101, 5000, 70_000, 200_000])
        {
            byte[] bytes = Encoding.UTF8.GetBytes($"a\n{new string('x', length)}\nb");
            JsonLineReader reader = new(new MemoryStream(bytes), longest: 100);
            List<JsonLine> lines = [];
            while (await reader.ReadAsync(CancellationToken.None) is { } line)
            {
                lines.Add(line);
            }

            Assert.Equal([false, length > 100, false], lines.Select(line => line.TooLong));
            Assert.Equal(["a", length > 100 ? "" : new string('x', length), "b"], lines.Select(line => Encoding.UTF8.GetString(line.Bytes.Span)));
            Assert.Equal([0, 2, length + 3], lines.Select(line => line.Offset));
            Assert.Equal(bytes.Length, reader.Position);
        }
    }

    [Theory]
    [InlineData("0/4", 0, 4)]
    [InlineData("3/4", 3, 4)]
    [InlineData(null, 0, 1)]
    [InlineData(null, 2, 5, "SHARD_INDEX=2", "SHARD_COUNT=5", "SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_COUNT=2")]
    [InlineData(null, 1, 3, "JOB_COMPLETION_INDEX=1", "JOB_COMPLETION_COUNT=3")]
    [InlineData(null, 2, 4, "SLURM_ARRAY_TASK_ID=2", "SLURM_ARRAY_TASK_COUNT=4", "SLURM_ARRAY_TASK_MIN=0")]
    [InlineData(null, 0, 4, "SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_COUNT=4", "SLURM_ARRAY_TASK_MIN=1")]
    [InlineData(null, 1, 3, "SLURM_ARRAY_TASK_ID=12", "SLURM_ARRAY_TASK_COUNT=3", "SLURM_ARRAY_TASK_MIN=10", "SLURM_ARRAY_TASK_STEP=2")]
    [InlineData("1/2", 1, 2, "JOB_COMPLETION_INDEX=7")]
    [InlineData(null, 0, 1, "SHARD_INDEX=", "JOB_COMPLETION_INDEX=")]
    public void A_worker_is_named_by_the_option_or_by_its_scheduler(string? option, int index, int count, params string[] variables) =>
        Assert.Equal(new ShardChoice(index, count), ShardChoice.Read(option, Environment(variables)));

    [Theory]
    [InlineData("4/4", "--shard is '4/4', expected i/n")]
    [InlineData("1", "--shard is '1', expected i/n")]
    [InlineData("-1/4", "--shard is '-1/4'")]
    [InlineData("1/0", "--shard is '1/0'")]
    [InlineData("a/b", "--shard is 'a/b'")]
    [InlineData(null, "SHARD_COUNT is not set", "SHARD_INDEX=1")]
    [InlineData(null, "SHARD_INDEX is not set", "SHARD_COUNT=1")]
    [InlineData(null, "SHARD_INDEX is 'x', expected a number from 0", "SHARD_INDEX=x", "SHARD_COUNT=2")]
    [InlineData(null, "SHARD_INDEX is worker 2 of 2", "SHARD_INDEX=2", "SHARD_COUNT=2")]
    [InlineData(null, "Kubernetes does not set it", "JOB_COMPLETION_INDEX=1")]
    [InlineData(null, "SLURM_ARRAY_TASK_COUNT is not set", "SLURM_ARRAY_TASK_ID=1")]
    [InlineData(null, "number the tasks without gaps", "SLURM_ARRAY_TASK_ID=9", "SLURM_ARRAY_TASK_COUNT=3", "SLURM_ARRAY_TASK_MIN=1")]
    [InlineData(null, "no step of the array", "SLURM_ARRAY_TASK_ID=2", "SLURM_ARRAY_TASK_COUNT=3", "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_STEP=2")]
    public void A_worker_that_cannot_be_is_refused(string? option, string expected, params string[] variables) =>
        Assert.Contains(expected, Assert.Throws<UsageException>(() => ShardChoice.Read(option, Environment(variables))).Message, StringComparison.Ordinal);

    private static Func<string, string?> Environment(string[] variables)
    {
        Dictionary<string, string> values = variables.Select(variable => variable.Split('=')).ToDictionary(parts => parts[0], parts => parts[1]);
        return values.GetValueOrDefault;
    }

    private async Task<List<JsonLine>> LinesAsync(long first, long bytes, long line)
    {
        await using FileStream stream = File.OpenRead(_job.Input);
        stream.Position = first;
        JsonLineReader reader = new(stream, line, bytes);
        List<JsonLine> lines = [];
        while (await reader.ReadAsync(CancellationToken.None) is { } next)
        {
            lines.Add(next);
        }

        return lines;
    }
}
