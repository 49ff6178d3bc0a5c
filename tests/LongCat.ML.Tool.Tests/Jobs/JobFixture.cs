using System.Text;
using System.Text.Json.Nodes;
using LongCat.ML.CommandLine;
using LongCat.ML.TestShared;
using LongCat.ML.Tool.Jobs;
using LongCat.ML.Tool.Scoring;

namespace LongCat.ML.ToolTests.Jobs;

/// <summary>Jobs in this process, with a scorer that needs no model: it writes a text backwards, and fails where it is told to.</summary>
public sealed class JobFixture : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    internal static readonly string[] Settings = ["model: a", "mode: backwards"];

    public string this[string name] => _folder[name];

    public string Input => this["rows.jsonl"];

    public string Folder => this["job"];

    public void Dispose() => _folder.Dispose();

    /// <summary>Rows of very different lengths, blank lines, both ends of lines, and every kind of row that fails.</summary>
    public void WriteRows(int count, int seed = 1)
    {
        Random random = new(seed);
        using FileStream file = File.Create(Input);
        for (int i = 0; i < count; i++)
        {
            byte[] line = random.Next(12) switch
            {
                0 => [],
                1 => "  \t"u8.ToArray(),
                2 => "{\"text\": \"cut"u8.ToArray(),
                3 => [.. "{\"text\": \""u8, 0xE9, .. "\"}"u8],
                4 => Encoding.UTF8.GetBytes("{\"text\": \"poison\"}"),
                5 => Encoding.UTF8.GetBytes("{\"text\": \"half a pair \\ud83d\"}"),
                _ => Encoding.UTF8.GetBytes(new JsonObject { ["id"] = i, ["text"] = string.Concat(Enumerable.Repeat("é", random.Next(random.Next(8) == 0 ? 3000 : 20))) + i }.ToJsonString()),
            };
            file.Write(line);
            if (i < count - 1 || random.Next(2) == 0)
            {
                file.Write(random.Next(3) == 0 ? "\r\n"u8 : "\n"u8);
            }
        }
    }

    /// <summary>A runner whose rows end in another order than they began.</summary>
    internal static RowRunner Runner(int inFlight = 8, Action<JsonObject>? before = null, string? reserved = PartFiles.RowField) => new(
        async (row, cancellationToken) =>
        {
            string text = (string)row["text"]!;
            for (int i = 0; i < text.Length % 5; i++)
            {
                await Task.Yield();
            }

            cancellationToken.ThrowIfCancellationRequested();
            before?.Invoke(row);
            row["backwards"] = text == "poison" ? throw new InvalidDataException("the row is poisoned") : string.Concat(text.Reverse());
        },
        inFlight)
    {
        Reserved = reserved,
    };

    internal async Task<ShardSummary> RunAsync(int index, int count, Func<RowRunner>? runner = null, CancellationToken cancellationToken = default)
    {
        JobManifest manifest = await JobManifest.OpenAsync(Folder, Input, count, Settings, CancellationToken.None);
        using ProgressLine line = new("score", " rows", TextWriter.Null);
        return await new ShardWorker(Folder, manifest, index, Input).RunAsync(() => Task.FromResult((runner ?? (() => Runner()))()), line, cancellationToken);
    }

    /// <summary>The whole input in one go: what a job's merged parts must be, byte by byte.</summary>
    internal async Task<byte[]> WholeAsync()
    {
        using ProgressLine line = new("score", " rows", TextWriter.Null);
        await using FileStream input = File.OpenRead(Input);
        await JsonLinesJob.RunAsync(Runner(reserved: null), input, this["whole.jsonl"], input.Length, line, CancellationToken.None);
        return await File.ReadAllBytesAsync(this["whole.jsonl"]);
    }

    internal async Task<(byte[] Bytes, long Rows, long Failed)> MergeAsync(bool keep = false)
    {
        using ProgressLine line = new("merge", " rows", TextWriter.Null);
        (long rows, long failed) = await PartsMerger.MergeAsync(Folder, this["merged.jsonl"], keep, line, CancellationToken.None);
        return (await File.ReadAllBytesAsync(this["merged.jsonl"]), rows, failed);
    }
}
