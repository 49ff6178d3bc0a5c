using LongCat.ML.Checkpoints;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>How the memory for caches is divided between full and streaming attentions.</summary>
public sealed class StreamingCapacityTests(ITestOutputHelper output)
{
    private const long GiB = 1L << 30;

    [Fact]
    public void A_model_with_half_its_attentions_streaming_needs_half_the_cache_at_long_context()
    {
        // longcat-nano's caches, the published pattern, one sequence.
        const int Length = 131_072;
        EngineOptions options = new() { MaxSequences = 1, MemoryBudgetBytes = 64 * GiB };
        ModelManifest full = Manifest(Length, caches: 8, streaming: []);
        ModelManifest half = Manifest(Length, caches: 8, streaming: [1, 3, 5, 7]);
        EngineCapacity all = EngineCapacity.Compute(full, options);
        EngineCapacity some = EngineCapacity.Compute(half, options);
        Assert.Equal((8192, 8192, 0), (all.Pages, all.PagesPerSequence, all.StreamingPages));

        // A window of 8 + 56 pages and those of a step of 512 tokens, however long the context.
        Assert.Equal((8192, 8192, 64 + 32), (some.Pages, some.PagesPerSequence, some.StreamingPages));
        double share = Bytes(half, some, options) / (double)Bytes(full, all, options);
        output.WriteLine($"{Length} tokens: {Bytes(full, all, options)} bytes full, {Bytes(half, some, options)} with half of them streaming: {share:P1}");
        Assert.InRange(share, 0.5, 0.51);

        // In the same memory twice the context, less a window.
        options = options with { MemoryBudgetBytes = GiB / 2 };
        int longest = EngineCapacity.Compute(full, options).PagesPerSequence;
        int with = EngineCapacity.Compute(half, options).PagesPerSequence;
        output.WriteLine($"in {options.MemoryBudgetBytes} bytes: {longest} pages full, {with} with half of them streaming");
        Assert.InRange(with, (2 * longest) - 97, 2 * longest);
    }

    [Fact]
    public void Nothing_is_left_over_and_nothing_exceeds_the_budget()
    {
        Random random = new(3);
        for (int i = 0; i < 500; i++)
        {
            int caches = random.Next(1, 9);
            int[] streaming = [.. Enumerable.Range(0, caches).Where(_ => random.Next(2) == 0)];
            ModelManifest manifest = Manifest(random.Next(1, 200_000), caches, streaming, random.Next(1, 200), random.Next(0, 3), random.Next(1, 9), width: random.Next(1, 700));
            EngineOptions options = new()
            {
                MaxSequences = random.Next(1, 40), MaxStepTokens = random.Next(1, 1000), PageSize = random.Next(1, 70), MemoryBudgetBytes = random.NextInt64(1, 1L << random.Next(10, 36)),
            };
            long pageBytes = 4L * manifest.Caches[0].Width * options.PageSize;
            long fullBytes = pageBytes * (caches - streaming.Length);
            long streamingBytes = pageBytes * streaming.Length;
            long perSequence = (manifest.MaxPositions + options.PageSize - 1) / options.PageSize;
            long window = streaming.Length == 0 ? 0 : Math.Min(perSequence, new Paging.StreamingPattern(manifest.Streaming!.BlockSize, manifest.Streaming.SinkBlocks, manifest.Streaming.LocalBlocks, options.PageSize).WindowPages);
            EngineCapacity capacity;
            try
            {
                capacity = EngineCapacity.Compute(manifest, options);
            }
            catch (InferenceException error)
            {
                Assert.True(options.MemoryBudgetBytes < fullBytes + (window * streamingBytes), error.Message);
                Assert.Contains($"{fullBytes + (window * streamingBytes)} bytes", error.Message, StringComparison.Ordinal);
                continue;
            }

            Assert.True(Bytes(manifest, capacity, options) <= options.MemoryBudgetBytes);
            Assert.Equal(streaming.Length < caches, capacity.Pages > 0);
            Assert.InRange(capacity.StreamingPages, window, Math.Max(0, perSequence * options.MaxSequences));
            Assert.Equal(streaming.Length == caches ? perSequence : Math.Min(capacity.Pages, perSequence), capacity.PagesPerSequence);

            // Either everything that can be in use at once is there, or no page more fits of what is not.
            long most = perSequence * options.MaxSequences;
            long useful = window < perSequence ? (window * options.MaxSequences) + ((options.MaxStepTokens + options.PageSize - 1) / options.PageSize) : most;
            long left = options.MemoryBudgetBytes - Bytes(manifest, capacity, options);
            Assert.True(fullBytes == 0 || capacity.Pages == most || left < fullBytes, $"{left} bytes are left over for full pages");
            Assert.True(streamingBytes == 0 || capacity.StreamingPages >= Math.Min(useful, most) || left < streamingBytes, $"{left} bytes are left over for streaming pages");
        }
    }

    [Fact]
    public void Short_requests_find_streaming_pages_too()
    {
        // The default budget holds no sequence of the longest length; a quarter of it is for windows, so that many short requests run.
        ModelManifest manifest = Manifest(1_000_000, caches: 8, streaming: [0, 2, 4, 6]);
        EngineCapacity capacity = EngineCapacity.Compute(manifest, new EngineOptions());
        output.WriteLine($"{capacity.Pages} pages, {capacity.StreamingPages} streaming pages");
        Assert.InRange(capacity.StreamingPages, 20 * 64, 32 * 64);
        Assert.InRange(capacity.Pages / (double)(capacity.Pages + capacity.StreamingPages), 0.74, 0.76);
    }

    [Fact]
    public void A_budget_below_one_window_is_refused_with_numbers()
    {
        ModelManifest manifest = Manifest(100_000, caches: 2, streaming: [1]);
        InferenceException error = Assert.Throws<InferenceException>(() => EngineCapacity.Compute(manifest, new EngineOptions { MemoryBudgetBytes = 65 * 16 * 576 * 4 - 1 }));
        Assert.Contains("2396159", error.Message, StringComparison.Ordinal);
        Assert.Contains("1 caches of full attentions, and the window of one sequence takes 64 pages of 16 tokens, 2359296 bytes over the model's 1 caches of streaming", error.Message, StringComparison.Ordinal);
        Assert.Equal((1, 64), (EngineCapacity.Compute(manifest, new EngineOptions { MemoryBudgetBytes = 65 * 16 * 576 * 4 }).Pages, 64));
        error = Assert.Throws<InferenceException>(() => EngineCapacity.Compute(Manifest(100_000, 1, [0]), new EngineOptions { MemoryBudgetBytes = 1000 }));
        Assert.DoesNotContain("full attentions", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_engine_counts_both_pools_and_what_was_given_back()
    {
        ToyAttention attention = ToyAttention.Parse("full 4/1/2", pageSize: 4);
        ToyModel model = new(64, 4, attention: attention, streamingPages: 12);
        await using InferenceEngine engine = ToyModel.Engine(model, new EngineOptions { PageSize = 4, MaxSequences = 2, MaxStepTokens = 16 }, 64);
        Assert.Equal((64, 12, 0L), (engine.Statistics.PagesTotal, engine.Statistics.StreamingPagesTotal, engine.Statistics.StreamingPagesReturned));
        GenerationResult result = await engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, 160).Select(i => i % 50)], Options = new GenerationOptions { MaxNewTokens = 40, IgnoreEos = true },
        });
        Assert.Equal(40, result.Ids.Count);
        EngineStatistics statistics = engine.Statistics;
        output.WriteLine(statistics.ToString());

        // 199 tokens in the caches: 50 full pages; a window of 3 pages and 4 for a step's tokens.
        Assert.Equal((0, 50, 0), (statistics.PagesUsed, statistics.PeakPagesUsed, statistics.StreamingPagesUsed));
        Assert.InRange(statistics.PeakStreamingPagesUsed, 3, 3 + 4);
        Assert.InRange(statistics.StreamingPagesReturned, 50 - 3, 50);
        Assert.Equal(256, engine.LongestSequence);
    }

    private static ModelManifest Manifest(int length, int caches, int[] streaming, int block = 128, int sink = 1, int local = 7, int width = 576) => ToyModel.Manifest(length) with
    {
        Caches = [.. Enumerable.Repeat(new CacheLayout(width), caches)],
        Streaming = streaming.Length == 0 ? null : new StreamingAttentionConfig { BlockSize = block, SinkBlocks = sink, LocalBlocks = local, AttentionLayers = streaming },
    };

    private static long Bytes(ModelManifest manifest, EngineCapacity capacity, EngineOptions options) =>
        Enumerable.Range(0, manifest.Caches.Count).Sum(cache =>
            4L * manifest.Caches[cache].Width * options.PageSize * (manifest.Streaming?.IsStreaming(cache) == true ? capacity.StreamingPages : capacity.Pages));
}
