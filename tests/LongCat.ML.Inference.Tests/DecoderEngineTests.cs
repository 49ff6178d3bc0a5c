using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over random models of the plain decoder families: shared pages, chunks, waiting and preemption change no token, windows included.</summary>
public sealed class DecoderEngineTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("Mistral")]
    [InlineData("Qwen2, window from layer 1")]
    [InlineData("Qwen3-MoE, weights not normalized")]
    public async Task Requests_together_in_a_small_cache_equal_one_by_one(string name)
    {
        using TemporaryFolder folder = new();
        string model = OnnxExporter.Export(RandomDecoder.Write(folder["checkpoint"], RandomDecoder.Models[name]), folder["onnx"]).Folder;
        Random random = new(23);
        int[] prefix = [.. Enumerable.Range(0, 20).Select(_ => random.Next(3, 272))];
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => new GenerationRequest
        {
            PromptIds = [.. prefix[..(i % 3 * 10)], .. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(3, 272))],
            Options = new GenerationOptions { MaxNewTokens = 50, IgnoreEos = true, Temperature = i % 2 == 0 ? 0 : 0.9f, TopP = 0.95f, Seed = (ulong)i },
        })];
        List<IReadOnlyList<int>> alone = [];
        foreach (GenerationRequest request in requests)
        {
            await using InferenceEngine single = InferenceEngine.Load(model, new EngineOptions { Threads = 1 });
            alone.Add((await single.GenerateAsync(request)).Ids);
        }

        // About 150 tokens for eight requests of up to 100: some wait, some give their pages up.
        await using InferenceEngine engine = InferenceEngine.Load(model);
        long perToken = engine.Manifest.Caches.Sum(cache => 4L * cache.Width);
        await using InferenceEngine small = InferenceEngine.Load(model, new EngineOptions { MemoryBudgetBytes = 150 * perToken, PageSize = 4, MaxStepTokens = 29 });
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids));
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => small.GenerateAsync(request)))).Select(result => result.Ids));
        output.WriteLine($"{name}: {engine.Statistics}; {small.Statistics}");
        Assert.True(small.Statistics.Preemptions > 0);
        Assert.Equal(0, small.Statistics.PagesUsed);
    }
}
