using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Streaming attentions in graphs of standard operators against double-precision references, however tokens are batched and cut.</summary>
public sealed class StandardStreamingTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, int, int, int> Cases
    {
        get
        {
            TheoryData<string, int, int, int> cases = [];
            foreach (string model in (string[])["longcat", "rotated inside", "rotated before", "head norms"])
            {
                cases.Add(model, 4, 1, 2);
                cases.Add(model, 3, 0, 1);
                cases.Add(model, 5, 2, 3);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_are_those_of_the_pattern(string model, int block, int sinks, int locals)
    {
        Func<long[], float[]> reference = Write(model, new StreamingAttentionConfig { BlockSize = block, SinkBlocks = sinks, LocalBlocks = locals, AttentionLayers = model == "longcat" ? [1, 2] : [1] });
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Operators = OperatorSet.Standard });
        long[][] rows = [Prompt(1, 38), Prompt(2, 33)];
        float[][] expected = [.. rows.Select(reference)];

        using (PaddedGraphRunner together = new(_folder["out"], 2))
        {
            float[][] logits = together.Run(rows);
            Compare("two prompts, one padded", expected[0], logits[0]);
            Compare("two prompts, the padded one", expected[1], logits[1]);
        }

        using (PaddedGraphRunner chunked = new(_folder["out"], 1))
        {
            List<float> logits = [];
            int done = 0;
            foreach (int length in (int[])[9, 1, 7, 1, 20])
            {
                logits.AddRange(chunked.Run([rows[0][done..(done + length)]])[0]);
                done += length;
            }

            Compare("chunks", expected[0], [.. logits]);
        }

        using PaddedGraphRunner apart = new(_folder["out"], 2, inPlace: false);
        float[][] step = apart.Run([rows[0][..18], rows[1][..16]]);
        List<float>[] all = [[.. step[0]], [.. step[1]]];
        for (int i = 0; i < 17; i++)
        {
            step = apart.Run([[rows[0][18 + i]], [rows[1][16 + i]]]);
            all[0].AddRange(step[0]);
            all[1].AddRange(step[1]);
        }

        Compare("token by token", expected[0][..all[0].Count], [.. all[0]]);
        Compare("token by token, the shorter one", expected[1], [.. all[1]]);
    }

    [Fact]
    public void The_pattern_matters_where_it_should()
    {
        StreamingAttentionConfig streaming = new() { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0] };
        float[] full = Write("rotated inside", null)(Prompt(1, 30));
        float[] sparse = Write("rotated inside", streaming)(Prompt(1, 30));
        int v = full.Length / 30;
        int first = Enumerable.Range(0, 30).First(t => !full.AsSpan(t * v, v).SequenceEqual(sparse.AsSpan(t * v, v)));
        Assert.Equal(12, first);
    }

    private Func<long[], float[]> Write(string model, StreamingAttentionConfig? streaming)
    {
        string folder = _folder["in"];
        if (model == "longcat")
        {
            RandomCheckpoint.Write(folder, new RandomCheckpointOptions { Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(folder, new RandomDecoderOptions { Architecture = model == "head norms" ? "Qwen3ForCausalLM" : "LlamaForCausalLM", HeadDim = model == "rotated before" ? 24 : 16 });
        }

        ConfigEditor editor = ConfigEditor.Load(folder);
        editor.SetStreaming(streaming);
        editor.Save(folder);
        return prompt =>
        {
            if (model == "longcat")
            {
                using Checkpoint checkpoint = Checkpoint.Open(folder);
                return [.. new DoubleReference(checkpoint).Run(prompt).Logits.SelectMany(row => row.Select(value => (float)value))];
            }

            using DecoderReference reference = new(folder);
            return reference.Run(prompt).Logits;
        };
    }

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(3, 272))];
    }

    private void Compare(string what, float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: max abs diff {largest:E2}, tolerance {Golden.LogitsTolerance:E0}");
        Assert.True(largest <= Golden.LogitsTolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {Golden.LogitsTolerance:E0}");
    }
}
