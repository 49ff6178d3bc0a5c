using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Exported graphs with streaming attentions against double-precision references, however tokens are cut into steps. Their pages go back to the pool as soon as no token
/// to come sees them, and are handed out again at once: whoever read one of them would read another token.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class StreamingParityTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string, int, int, int> Cases
    {
        get
        {
            TheoryData<string, string, int, int, int> cases = [];
            foreach (string model in (string[])["longcat", "LlamaForCausalLM", "Qwen3MoeForCausalLM"])
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    // Pages have 4 tokens: blocks of a page, of parts of two pages, of several pages.
                    cases.Add(model, kernel, 4, 1, 2);
                    cases.Add(model, kernel, 3, 0, 1);
                    cases.Add(model, kernel, 10, 1, 1);
                }
            }

            return cases;
        }
    }

    public static TheoryData<string> Kernels => [.. KernelPath.Supported];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_graphs_see_what_the_pattern_says_however_the_tokens_are_cut(string model, string kernel, int block, int sinks, int locals)
    {
        bool latent = Write(model, new StreamingAttentionConfig { BlockSize = block, SinkBlocks = sinks, LocalBlocks = locals, AttentionLayers = model == "longcat" ? [1, 2] : [1] });
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        long[][] prompts = [Prompt(1, 41), Prompt(2, 30)];
        float[][] expected = [.. prompts.Select(prompt => Reference(latent, prompt))];
        using GraphRunner runner = new(_folder["out"], kernel);

        float[] together = runner.Run([.. prompts.Select(prompt => new RunnerChunk(new RunnerSequence(), prompt))]).Logits;
        Compare("prefill", [.. expected.SelectMany(e => e)], together, Golden.LogitsTolerance);

        RunnerSequence chunked = new();
        List<float> logits = [];
        foreach (int length in (int[])[7, 1, 15, 1, 2, 15])
        {
            logits.AddRange(runner.Run(new RunnerChunk(chunked, prompts[0].AsSpan(chunked.Length, length).ToArray())).Logits);
        }

        Compare("chunks", expected[0], [.. logits], Golden.LogitsTolerance);
        Assert.Contains(-1, chunked.StreamingPages);

        RunnerSequence decoding = new();
        RunnerSequence prefilling = new();
        List<float>[] mixed = [[], []];
        while (prefilling.Length < prompts[1].Length)
        {
            int piece = Math.Min(3, prompts[1].Length - prefilling.Length);
            float[] step = runner.Run(
                new RunnerChunk(decoding, [prompts[0][decoding.Length]]), new RunnerChunk(prefilling, prompts[1].AsSpan(prefilling.Length, piece).ToArray())).Logits;
            mixed[0].AddRange(step[..runner.VocabSize]);
            mixed[1].AddRange(step[runner.VocabSize..]);
        }

        while (decoding.Length < prompts[0].Length)
        {
            mixed[0].AddRange(runner.Run(new RunnerChunk(decoding, [prompts[0][decoding.Length]])).Logits);
        }

        Compare("token by token", expected[0], [.. mixed[0]], Golden.LogitsTolerance);
        Compare("a prefill beside single tokens", expected[1], [.. mixed[1]], Golden.LogitsTolerance);
    }

    /// <summary>Every attention streams, so nothing reads block_table; caches that are copied instead of written in place; a draft head that sees everything.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_model_may_stream_everywhere(string kernel)
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Mtp = true });
        Stream(new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0, 1] });
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        long[] prompt = Prompt(3, 30);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        DoubleReference reference = new(checkpoint);
        (double[][] logits, double[][] hidden) = reference.Run(prompt);
        using GraphRunner runner = new(_folder["out"], kernel, inPlace: false);
        RunnerSequence sequence = new();
        float[] first = runner.Run(new RunnerChunk(sequence, prompt[..20])).Logits;
        float[] second = runner.Run(new RunnerChunk(sequence, prompt[20..])).Logits;
        Compare("everywhere", Flat(logits), [.. first, .. second], Golden.LogitsTolerance);

        (double[][] draftLogits, _) = reference.RunDraft(prompt[1..], hidden[..^1]);
        using GraphRunner draft = new(_folder["out"], kernel, ModelManifest.DraftFileName);
        Compare("draft", Flat(draftLogits), draft.Run(new RunnerChunk(new RunnerSequence(), prompt[1..], Flat(hidden[..^1]))).Logits, Golden.DraftTolerance);
    }

    /// <summary>bfloat16 caches round what they keep: the same graph with float32 caches is near, another pattern would not be.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_bfloat16_cache_moves_the_logits_a_little(string kernel)
    {
        Write("longcat", new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [1, 2] });
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { CacheType = CacheType.BFloat16 });
        long[] prompt = Prompt(4, 40);
        using GraphRunner runner = new(_folder["out"], kernel);
        RunnerSequence sequence = new();
        List<float> logits = [];
        foreach (int length in (int[])[13, 1, 26])
        {
            logits.AddRange(runner.Run(new RunnerChunk(sequence, prompt.AsSpan(sequence.Length, length).ToArray())).Logits);
        }

        Compare("bfloat16 caches", Reference(latent: true, prompt), [.. logits], 0.1);
    }

    private bool Write(string model, StreamingAttentionConfig streaming)
    {
        if (model == "longcat")
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = model, Layers = 3 });
        }

        Stream(streaming);
        return model == "longcat";
    }

    private void Stream(StreamingAttentionConfig streaming)
    {
        ConfigEditor editor = ConfigEditor.Load(_folder["in"]);
        editor.SetStreaming(streaming);
        editor.Save(_folder["in"]);
    }

    private float[] Reference(bool latent, long[] prompt)
    {
        if (latent)
        {
            using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
            return Flat(new DoubleReference(checkpoint).Run(prompt).Logits);
        }

        using DecoderReference reference = new(_folder["in"]);
        return reference.Run(prompt).Logits;
    }

    private static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row.Select(value => (float)value))];

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(3, 272))];
    }

    private void Compare(string what, float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: max abs diff {largest:E2}, tolerance {tolerance:E0}");
        Assert.True(largest <= tolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {tolerance:E0}");
    }
}
