using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>The engine over a model with LongCat Sparse Attention, whose indexers' keys are caches like the others: shared pages, chunks, waiting and preemption change no token.</summary>
public sealed class SparseAttentionEngineTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Requests_together_in_a_small_cache_equal_one_by_one()
    {
        using TemporaryFolder folder = new();
        RandomCheckpointOptions options = new() { Seed = 47, Indexer = true, OverEncodingNames = true, Layers = 2, Tokenizer = true, Mtp = true };
        string model = OnnxExporter.Export(RandomCheckpoint.Write(folder["checkpoint"], options), folder["onnx"]).Folder;
        Random random = new(24);
        int[] prefix = [.. Enumerable.Range(0, 20).Select(_ => random.Next(16, 272))];
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => new GenerationRequest
        {
            PromptIds = [.. prefix[..(i % 3 * 10)], .. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(16, 272))],
            Options = new GenerationOptions { MaxNewTokens = 50, IgnoreEos = true, Temperature = i % 2 == 0 ? 0 : 0.9f, TopP = 0.95f, Seed = (ulong)i },
        })];
        List<IReadOnlyList<int>> alone = [];
        await using (InferenceEngine single = InferenceEngine.Load(model, new EngineOptions { Threads = 1 }))
        {
            foreach (GenerationRequest request in requests)
            {
                alone.Add((await single.GenerateAsync(request)).Ids);
            }
        }

        // About 150 tokens for eight requests of up to 100: some wait, some give their pages up.
        await using InferenceEngine engine = InferenceEngine.Load(model);
        Assert.Equal([24, 24, 24, 24, 20, 20], engine.Manifest.Caches.Select(cache => cache.Width));
        long perToken = engine.Manifest.Caches.Sum(cache => 4L * cache.Width);
        await using InferenceEngine small = InferenceEngine.Load(model, new EngineOptions { MemoryBudgetBytes = 150 * perToken, PageSize = 4, MaxStepTokens = 29 });
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids));
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => small.GenerateAsync(request)))).Select(result => result.Ids));
        // The draft head has an indexer and two caches of its own.
        await using InferenceEngine speculating = InferenceEngine.Load(model, new EngineOptions { Speculation = new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp } });
        Assert.Equal(alone, (await Task.WhenAll(requests.Select(request => speculating.GenerateAsync(request)))).Select(result => result.Ids));
        output.WriteLine($"{engine.Statistics}; {small.Statistics}");
        Assert.True(small.Statistics.Preemptions > 0);
        Assert.Equal(0, small.Statistics.PagesUsed);
    }
}
