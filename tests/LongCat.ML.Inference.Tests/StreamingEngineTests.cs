using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Small random models with streaming attentions, exported and run: chunks, company, waiting, preemption, shared beginnings and proposals change nothing.</summary>
public sealed class StreamingEngineTests(ITestOutputHelper output)
{
    private const string Latent = "longcat";
    private const string Grouped = "LlamaForCausalLM";

    [Theory]
    [InlineData(Latent, new[] { 1, 2 })]
    [InlineData(Latent, new[] { 0, 1, 2, 3 })]
    [InlineData(Grouped, new[] { 1 })]
    [InlineData(Grouped, new[] { 0, 1, 2 })]
    public async Task Logits_are_the_same_at_once_in_chunks_and_token_by_token(string model, int[] streaming)
    {
        using TemporaryFolder folder = new();
        string exported = Export(folder, model, streaming, CacheType.Float32);
        int[] ids = [.. Enumerable.Range(0, 90).Select(i => 3 + (i * 31 % 250))];
        float[]? expected = null;
        foreach ((int chunk, int pageSize) in new[] { (512, 16), (512, 4), (13, 4), (7, 3), (1, 4), (1, 16) })
        {
            await using InferenceEngine engine = InferenceEngine.Load(exported, new EngineOptions { MaxStepTokens = chunk, PageSize = pageSize, MaxSequences = 2 });
            float[] logits = await engine.LogitsAsync(ids);
            expected ??= logits;
            float worst = expected.Zip(logits, (left, right) => Math.Abs(left - right)).Max();

            // The same kernels over the same rows: only the split of the rows into steps and pages differs. Logits are of order 1, float rounding 1e-6 of that.
            output.WriteLine($"steps of {chunk}, pages of {pageSize}: largest difference {worst:E2}, limit 1e-5; {engine.Statistics}");
            Assert.True(worst < 1e-5f);
            Assert.Equal((0, 0), (engine.Statistics.PagesUsed, engine.Statistics.StreamingPagesUsed));
            Assert.True(engine.Statistics.StreamingPagesReturned > 0);
            Assert.Equal(streaming.Length == engine.Manifest.Caches.Count, engine.Statistics.PagesTotal == 0);
        }

        if (model == Grouped)
        {
            using DecoderReference reference = new(folder["checkpoint"]);
            float worst = reference.Run([.. ids.Select(id => (long)id)]).Logits.Zip(expected!, (left, right) => Math.Abs(left - right)).Max();
            output.WriteLine($"against double precision: largest difference {worst:E2}, limit 5e-5 as for the golden fixtures");
            Assert.True(worst < 5e-5);
        }
    }

    [Theory]
    [InlineData(Latent, new[] { 1, 2 }, CacheType.Float32)]
    [InlineData(Latent, new[] { 0, 3 }, CacheType.Int8)]
    [InlineData(Latent, new[] { 0, 1, 2, 3 }, CacheType.Float32)]
    [InlineData(Grouped, new[] { 1 }, CacheType.Int8)]
    [InlineData(Grouped, new[] { 0, 2 }, CacheType.BFloat16)]
    public async Task Requests_together_in_a_small_cache_equal_one_by_one(string model, int[] streaming, CacheType cacheType)
    {
        using TemporaryFolder folder = new();
        string exported = Export(folder, model, streaming, cacheType);
        Random random = new(31);
        int[] prefix = [.. Enumerable.Range(0, 40).Select(_ => random.Next(3, 272))];
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => new GenerationRequest
        {
            PromptIds = [.. prefix[..(i % 3 * 20)], .. Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(3, 272))],
            Options = new GenerationOptions { MaxNewTokens = 50, IgnoreEos = true, Temperature = i % 2 == 0 ? 0 : 0.9f, TopP = 0.95f, Seed = (ulong)i },
        })];
        List<IReadOnlyList<int>> alone = [];
        foreach (GenerationRequest request in requests)
        {
            await using InferenceEngine single = InferenceEngine.Load(exported, new EngineOptions { Threads = 1 });
            alone.Add((await single.GenerateAsync(request)).Ids);
        }

        await using InferenceEngine roomy = InferenceEngine.Load(exported);
        Assert.Equal(alone, await Together(roomy, requests));

        // Room for about 150 tokens if all attentions were full, or for five windows where none is: some requests wait for windows, some give their pages up.
        int room = roomy.Statistics.PagesTotal == 0 ? 5 * 12 : 150;
        EngineOptions tight = new() { MemoryBudgetBytes = room * roomy.Manifest.Caches.Sum(cache => (long)cache.Width) * cacheType.ElementSize(), PageSize = 4, MaxStepTokens = 29 };
        await using InferenceEngine small = InferenceEngine.Load(exported, tight);
        Assert.Equal(alone, await Together(small, requests));
        output.WriteLine($"{small.Statistics}");
        Assert.True(small.Statistics.StreamingPagesReturned > 0);
        Assert.Equal((0, 0), (small.Statistics.PagesUsed, small.Statistics.StreamingPagesUsed));
        Assert.True(small.Statistics.PeakSequences < requests.Length || small.Statistics.Preemptions > 0);

        List<SpeculativeProposer> proposers = model == Latent ? [SpeculativeProposer.PromptLookup, SpeculativeProposer.Mtp] : [SpeculativeProposer.PromptLookup];
        foreach (SpeculativeProposer proposer in proposers)
        {
            await using InferenceEngine speculating = InferenceEngine.Load(
                exported, tight with { MemoryBudgetBytes = 2 * tight.MemoryBudgetBytes, Speculation = new SpeculativeOptions { Proposer = proposer, NGramSize = 2 } });
            Assert.Equal(alone, await Together(speculating, requests));
            output.WriteLine($"{proposer}: {speculating.Statistics}");
            Assert.Equal((0, 0), (speculating.Statistics.PagesUsed, speculating.Statistics.StreamingPagesUsed));
        }
    }

    [Theory]
    [InlineData(Latent, new[] { 1, 2 }, CacheType.Float32)]
    [InlineData(Latent, new[] { 0, 3 }, CacheType.Int8)]
    [InlineData(Grouped, new[] { 1 }, CacheType.BFloat16)]
    public async Task Refreshes_of_sparse_verification_find_the_windows_that_they_read(string model, int[] streaming, CacheType cacheType)
    {
        using TemporaryFolder folder = new();
        string exported = Export(folder, model, streaming, cacheType, sparse: true);
        Random random = new(37);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, random.Next(20, 60)).Select(_ => random.Next(3, 9))],
            Options = new GenerationOptions { MaxNewTokens = 50, IgnoreEos = true, Temperature = i % 2 == 0 ? 0 : 0.9f, TopP = 0.95f, Seed = (ulong)i },
        })];
        await using InferenceEngine exact = InferenceEngine.Load(exported, new EngineOptions { Threads = 1, MaxSequences = 1 });
        List<IReadOnlyList<int>> alone = [.. await Together(exact, requests)];

        // Budgets of everything change nothing, refreshes included; with less, those that are verified exactly still get theirs.
        foreach (double rho in new[] { 1, 0.25 })
        {
            SparseVerification verification = new() { Attention = new AttentionBudget { BlockSize = 4, L0 = 0, Rho = rho, LocalBlocks = 1 }, RefreshEvery = 3 };
            EngineOptions options = new()
            {
                PageSize = 4,
                MaxStepTokens = 29,
                MemoryBudgetBytes = 600 * exact.Manifest.Caches.Sum(cache => (long)cache.Width) * cacheType.ElementSize(),
                Speculation = new SpeculativeOptions { NGramSize = 2, Verification = verification },
            };
            await using InferenceEngine engine = InferenceEngine.Load(exported, options);
            bool[] sparse = [.. requests.Select((_, i) => rho == 1 || i % 2 == 0)];
            List<IReadOnlyList<int>> found = [.. await Together(engine, [.. requests.Select((request, i) => request with { Options = request.Options with { VerifySparsely = sparse[i] } })])];
            output.WriteLine($"{rho}: {engine.Statistics}");
            for (int i = 0; i < requests.Length; i++)
            {
                Assert.True((rho < 1 && sparse[i]) || alone[i].SequenceEqual(found[i]), $"request {i} with a share of {rho}");
            }

            Assert.True(engine.Statistics.Speculation!.SparseRounds > 10 && engine.Statistics.Speculation.Refreshes > 2 && engine.Statistics.StreamingPagesReturned > 0);
            Assert.Equal((0L, 0, 0), (engine.Statistics.RequestsFailed, engine.Statistics.PagesUsed, engine.Statistics.StreamingPagesUsed));
        }
    }

    private static string Export(TemporaryFolder folder, string model, int[] streaming, CacheType cacheType, bool sparse = false)
    {
        string checkpoint = model == Latent
            ? RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Layers = 2, Mtp = true })
            : RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions { Architecture = model, Layers = 3 });
        ConfigEditor editor = ConfigEditor.Load(checkpoint);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = streaming });
        editor.Save(checkpoint);
        return OnnxExporter.Export(checkpoint, folder["onnx"], new ExportOptions { CacheType = cacheType, SparseVerification = sparse }).Folder;
    }

    private static async Task<IEnumerable<IReadOnlyList<int>>> Together(InferenceEngine engine, GenerationRequest[] requests) =>
        (await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request)))).Select(result => result.Ids);
}
