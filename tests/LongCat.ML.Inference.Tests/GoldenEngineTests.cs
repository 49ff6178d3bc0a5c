using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine against an independent implementation's greedy continuations and logits.</summary>
public sealed class GoldenEngineTests(ITestOutputHelper output)
{
    [GoldenTheory]
    [InlineData("longcat-lite", 16, 512, OperatorSet.LongCat)]
    [InlineData("longcat-lite", 4, 7, OperatorSet.LongCat)]
    [InlineData("longcat-lite-yarn", 16, 512, OperatorSet.LongCat)]
    [InlineData("longcat-flash", 16, 512, OperatorSet.LongCat)]
    [InlineData("longcat-flash-yarn", 16, 9, OperatorSet.LongCat)]
    [InlineData("longcat-flash-bf16", 16, 512, OperatorSet.LongCat)]
    [InlineData("longcat-flash-sharded", 8, 512, OperatorSet.LongCat)]
    [InlineData("llama", 16, 512, OperatorSet.LongCat)]
    [InlineData("llama", 4, 7, OperatorSet.LongCat)]
    [InlineData("llama3-rope", 16, 11, OperatorSet.LongCat)]
    [InlineData("qwen3", 8, 512, OperatorSet.LongCat)]
    [InlineData("mixtral", 16, 9, OperatorSet.LongCat)]
    [InlineData("qwen3-moe", 16, 512, OperatorSet.LongCat)]
    [InlineData("longcat-lite", 16, 512, OperatorSet.Standard)]
    [InlineData("longcat-lite", 16, 7, OperatorSet.Standard)]
    [InlineData("longcat-lite-yarn", 16, 512, OperatorSet.Standard)]
    [InlineData("longcat-flash", 16, 512, OperatorSet.Standard)]
    [InlineData("longcat-flash-yarn", 16, 9, OperatorSet.Standard)]
    [InlineData("longcat-flash-bf16", 16, 512, OperatorSet.Standard)]
    [InlineData("longcat-flash-sharded", 16, 512, OperatorSet.Standard)]
    public async Task Logits_and_greedy_continuations_equal(string fixture, int pageSize, int maxStepTokens, OperatorSet operators)
    {
        using TemporaryFolder folder = new();
        string model = OnnxExporter.Export(GoldenFixtures.Path(fixture), folder["onnx"], new ExportOptions { Operators = operators }).Folder;
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFixtures.Path(fixture, "golden.safetensors"));
        long[] inputs = golden.ReadInt64("input_ids");
        int batch = (int)golden.Entry("input_ids").Shape[0];
        int length = (int)golden.Entry("input_ids").Shape[1];
        long[] greedy = golden.ReadInt64("greedy_ids");
        int steps = greedy.Length / batch;
        float[] logits = golden.ReadFloat32("logits");
        await using InferenceEngine engine = InferenceEngine.Load(model, new EngineOptions { PageSize = pageSize, MaxStepTokens = maxStepTokens });
        int width = length * engine.Manifest.VocabSize;
        List<int[]> prompts = [.. Enumerable.Range(0, batch).Select(row => Array.ConvertAll(inputs[(row * length)..((row + 1) * length)], id => (int)id))];

        Task<float[]>[] rows = [.. prompts.Select(prompt => engine.LogitsAsync(prompt))];
        Task<GenerationResult>[] completions = [.. prompts.Select(prompt => engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = prompt,
            Options = new GenerationOptions { MaxNewTokens = steps, IgnoreEos = true },
        }))];
        await Task.WhenAll(completions);
        float worst = 0;
        for (int row = 0; row < batch; row++)
        {
            float[] actual = await rows[row];
            worst = Math.Max(worst, actual.Zip(logits.AsSpan(row * width, width).ToArray(), (left, right) => Math.Abs(left - right)).Max());
        }

        // The limit that the fixtures' README states for float32 arithmetic on another machine (logits reach about 7).
        output.WriteLine($"{fixture}: largest difference of the logits {worst:E2}, limit 5e-5; {engine.Statistics}");
        Assert.True(worst < 5e-5f, $"logits differ by {worst}");
        for (int row = 0; row < batch; row++)
        {
            Assert.Equal(greedy[(row * steps)..((row + 1) * steps)], (await completions[row]).Ids.Select(id => (long)id));
        }
    }
}
