using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over models whose caches are narrower than float32: the pages fit the budget in bytes, and shared, waiting and preempted requests get the tokens that they get alone.</summary>
public sealed class CacheTypeTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(CacheType.BFloat16, true)]
    [InlineData(CacheType.Int8, true)]
    [InlineData(CacheType.BFloat16, false)]
    [InlineData(CacheType.Int8, false)]
    public async Task Requests_together_in_a_small_cache_equal_one_by_one(CacheType type, bool latent)
    {
        using TemporaryFolder folder = new();
        string checkpoint = latent
            ? RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Layers = 2 })
            : RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions());
        string model = OnnxExporter.Export(checkpoint, folder["onnx"], new ExportOptions { CacheType = type }).Folder;
        Random random = new(5);
        int[] prefix = [.. Enumerable.Range(0, 20).Select(_ => random.Next(3, 272))];
        GenerationRequest[] requests = [.. Enumerable.Range(0, 6).Select(i => new GenerationRequest
        {
            PromptIds = [.. prefix[..(i % 3 * 10)], .. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(3, 272))],
            Options = new GenerationOptions { MaxNewTokens = 40, IgnoreEos = true },
        })];
        List<IReadOnlyList<int>> alone = [];
        foreach (GenerationRequest request in requests)
        {
            await using InferenceEngine single = InferenceEngine.Load(model, new EngineOptions { Threads = 1 });
            alone.Add((await single.GenerateAsync(request)).Ids);
        }

        ModelManifest manifest = ModelManifest.Read(model);
        long perToken = manifest.Caches.Sum(cache => (long)cache.Width) * type.ElementSize();
        await using InferenceEngine small = InferenceEngine.Load(model, new EngineOptions { MemoryBudgetBytes = 120 * perToken, PageSize = 4, MaxStepTokens = 29 });
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => small.GenerateAsync(request)))).Select(result => result.Ids));
        output.WriteLine($"{type}: {perToken} bytes per token, {small.Statistics}");
        Assert.True(small.Statistics.Preemptions > 0);
        Assert.Equal((30, 0), (small.Statistics.PagesTotal, small.Statistics.PagesUsed));
    }
}
