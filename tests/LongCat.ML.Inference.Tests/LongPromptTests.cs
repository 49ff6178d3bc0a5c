using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Prompts of 65,536 tokens through tiny models half of whose attentions stream: in whatever steps, bit for bit the same, with a window of streaming pages and without a matrix of scores. Run alone: they look at the process's memory.</summary>
[CollectionDefinition(nameof(LongPromptTests), DisableParallelization = true)]
[Collection(nameof(LongPromptTests))]
public sealed class LongPromptTests(ITestOutputHelper output)
{
    private const int Length = 65_536;
    private const int PageSize = 16;

    [Fact]
    public async Task Grouped_attentions_read_64K_tokens_as_double_precision_does()
    {
        using TemporaryFolder folder = new();
        string checkpoint = RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions { Layers = 2, Heads = 2, KeyValueHeads = 1, HeadDim = 16, HiddenSize = 16, IntermediateSize = 16, MaxPositions = Length });
        int[] ids = Prompt();
        string exported = Export(folder, checkpoint, streaming: [0]);
        float[] logits = await LogitsAsync(exported, ids, step: 4096);
        float[] other = await LogitsAsync(exported, ids, step: 1000);
        Assert.True(logits.AsSpan().SequenceEqual(other), "the cut into steps changes the result");

        // The streaming attention comes first, so that the reference needs all of its queries, 65,536 × 128 keys, but only a few of the full one's.
        const int Rows = 24;
        using DecoderReference reference = new(checkpoint);
        Stopwatch time = Stopwatch.StartNew();
        float[] expected = reference.RunFrom([.. ids.Select(id => (long)id)], Length - Rows).Logits;
        float worst = expected.Zip(logits.TakeLast(expected.Length), (left, right) => Math.Abs(left - right)).Max();

        // Logits are of order 1; the last ones hang on weights of 65,536 keys that add up to 1.
        output.WriteLine($"against double precision in {time.Elapsed.TotalSeconds:F1} s: largest difference of the last {Rows} rows {worst:E2}, limit 5e-5 as for the golden fixtures");
        Assert.Equal(Rows * 272, expected.Length);
        Assert.True(worst < 5e-5f);
    }

    [Fact]
    public async Task Latent_attentions_read_64K_tokens_with_a_window_of_streaming_pages()
    {
        using TemporaryFolder folder = new();
        string checkpoint = RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Layers = 1, Heads = 1, LatentRank = 8, HeadDim = 8, HiddenSize = 48, FfnSize = 32, MaxPositions = Length });
        string exported = Export(folder, checkpoint, streaming: [1]);
        int[] ids = Prompt();
        float[] logits = await LogitsAsync(exported, ids, step: 4096);

        // Other steps for the first eighth, which knows nothing of the rest: of the whole prompt they would take as long as all else here.
        float[] other = await LogitsAsync(exported, ids[..(Length / 8)], step: 1000);
        Assert.True(logits.AsSpan(0, other.Length).SequenceEqual(other), "the cut into steps changes the result");
    }

    private static int[] Prompt()
    {
        Random random = new(64);
        return [.. Enumerable.Range(0, Length).Select(_ => random.Next(3, 272))];
    }

    private static string Export(TemporaryFolder folder, string checkpoint, int[] streaming)
    {
        ConfigEditor editor = ConfigEditor.Load(checkpoint);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 32, SinkBlocks = 1, LocalBlocks = 3, AttentionLayers = streaming });
        editor.Save(checkpoint);
        return OnnxExporter.Export(checkpoint, folder["onnx"], new ExportOptions()).Folder;
    }

    private async Task<float[]> LogitsAsync(string exported, int[] ids, int step)
    {
        long before = Environment.WorkingSet;
        TimeSpan used = Environment.CpuUsage.TotalTime;
        await using InferenceEngine engine = InferenceEngine.Load(exported, new EngineOptions { MaxSequences = 1, MaxStepTokens = step, PageSize = PageSize });
        float[] logits = await engine.LogitsAsync(ids);
        EngineStatistics statistics = engine.Statistics;
        double grown = (Environment.WorkingSet - before) / 1e6;
        output.WriteLine($"{ids.Length} tokens in steps of {step}: {(Environment.CpuUsage.TotalTime - used).TotalSeconds:F1} s of processor time, {grown:F0} MB more; {statistics}");

        // Of 32 + 96 tokens a query sees its begun block only in part; a step's own tokens need pages too.
        const int Window = 128 / PageSize;
        int stepPages = (step + PageSize - 1) / PageSize, pages = ids.Length / PageSize;
        Assert.InRange(statistics.PeakStreamingPagesUsed, Window, Window + 1 + stepPages);
        Assert.InRange(statistics.StreamingPagesTotal, Window, Window + 1 + stepPages);
        Assert.InRange(statistics.StreamingPagesReturned, pages - Window, pages);
        Assert.Equal((pages, 0, 0), (statistics.PeakPagesUsed, statistics.PagesUsed, statistics.StreamingPagesUsed));

        // The logits themselves are 71 MB. A float32 matrix of scores of one head would take 17 GB, that of a step of 4,096 queries 1 GB.
        Assert.True(grown < 700, $"{grown:F0} MB");
        return logits;
    }
}
