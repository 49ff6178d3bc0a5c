using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Modules;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.ZigZag;

/// <summary>What is trained is what is served: the modules' masks and the engine's pages and operators see the same tokens.</summary>
public class ExportedStreamingTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("longcat", new[] { 1, 2 })]
    [InlineData("longcat", new[] { 0, 1, 2, 3 })]
    [InlineData("LlamaForCausalLM", new[] { 1 })]
    public async Task Logits_of_the_engine_are_those_of_the_modules(string name, int[] layers)
    {
        using TemporaryFolder folder = new();
        string checkpoint = name == "longcat"
            ? RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Layers = 2 })
            : RandomDecoder.Write(folder["model"], new RandomDecoderOptions { Architecture = name, Layers = 3 });
        long[] ids = [.. Enumerable.Range(0, 60).Select(i => 3L + (i * 31 % 250))];
        float[] full = Logits(checkpoint, ids);
        ConfigEditor editor = ConfigEditor.Load(checkpoint);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = layers });
        editor.Save(checkpoint);
        float[] expected = Logits(checkpoint, ids);
        string exported = OnnxExporter.Export(checkpoint, folder["onnx"]).Folder;
        foreach (int chunk in new[] { 512, 11, 1 })
        {
            await using InferenceEngine engine = InferenceEngine.Load(exported, new EngineOptions { MaxStepTokens = chunk, PageSize = 4, MaxSequences = 1, Threads = 1 });
            float[] actual = await engine.LogitsAsync([.. ids.Select(id => (int)id)]);
            double worst = Difference(expected, actual);

            // Sums of float32 in another order move logits of order 1 by 1e-5; a token too many or too few moves them by more than 1e-2, as the full model shows.
            output.WriteLine($"{name}, steps of {chunk}: largest difference {worst:E2}, limit 5e-5; to the full model {Difference(full, actual):E2}");
            Assert.True(worst < 5e-5);
            Assert.True(Difference(full, actual) > 1e-2);
            Assert.True(engine.Statistics.StreamingPagesReturned > 0);
        }
    }

    private static float[] Logits(string checkpoint, long[] ids)
    {
        using var model = CausalLanguageModel.Load(checkpoint);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        return MemoryMarshal.Cast<byte, float>(model.Logits(model.Forward(batch).Hidden).detach().contiguous().bytes).ToArray();
    }

    private static double Difference(float[] left, float[] right)
    {
        Assert.Equal(left.Length, right.Length);
        return left.Zip(right, (a, b) => Math.Abs((double)a - b)).Max();
    }
}
