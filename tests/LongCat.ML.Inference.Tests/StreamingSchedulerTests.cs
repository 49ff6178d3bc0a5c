using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Two pools of pages. The toy model fails when a page that a token reads is missing, or one that none can read any more is still held.</summary>
public sealed class StreamingSchedulerTests(ITestOutputHelper output)
{
    private const int PageSize = SchedulerHarness.PageSize;

    [Theory]
    [InlineData("full 8/1/3", 8, 24)]
    [InlineData("full 8/1/3", 12, 24)]
    [InlineData("8/1/3", 8, 7)]
    [InlineData("6/0/2", 20, 64)]
    public void A_prompt_of_any_length_runs_in_what_its_window_and_a_part_of_a_step_need(string attention, int streamingPages, int maxTokens)
    {
        ToyAttention toy = ToyAttention.Parse(attention, PageSize);
        SchedulerHarness harness = new(pages: 200, maxSequences: 2, maxTokens, attention: toy, streamingPages: streamingPages);
        (_, Action check) = harness.Add([.. Enumerable.Range(0, 700).Select(i => (i * 13) % 60)], 30);
        harness.Drain();
        check();
        harness.CheckEmpty();
        output.WriteLine(
            $"{attention}: at most {harness.Streaming!.Pages.PeakInUse} of {streamingPages} pages, window {toy.Streaming!.WindowPages}; {harness.Streaming.Returned} given back; "
            + $"{harness.Executor.Steps} steps, the largest of {harness.Model.LargestStep} tokens");
        Assert.True(harness.Streaming.Pages.PeakInUse <= streamingPages && harness.Model.MostStreamingPages <= streamingPages);
        Assert.InRange(harness.Streaming.Returned, (730 / PageSize) - streamingPages - 1, 730 / PageSize);

        // No part of a prompt waits for a place that is there: with room for a whole step's tokens each step takes them all.
        Assert.Equal(streamingPages >= toy.Streaming.WindowPages + ((maxTokens + PageSize - 1) / PageSize) ? maxTokens : harness.Model.LargestStep, harness.Model.LargestStep);
    }

    [Fact]
    public void Who_finds_no_window_free_waits_and_nobody_is_preempted_for_it()
    {
        // Room for three windows of 3 pages.
        SchedulerHarness harness = new(pages: 400, maxSequences: 8, maxTokens: 32, attention: ToyAttention.Parse("full 4/1/2", PageSize), streamingPages: 9);
        List<Action> checks = [];
        for (int i = 0; i < 8; i++)
        {
            checks.Add(harness.Add([.. Enumerable.Range(0, 40).Select(k => (k + i) % 60)], 40).Check);
        }

        harness.Executor.RunStep();
        Assert.Equal((3, 5), (harness.Scheduler.Running.Count, harness.Scheduler.Waiting.Count));
        harness.Drain();
        checks.ForEach(check => check());
        Assert.Equal(0, harness.Scheduler.Preemptions);
        harness.CheckEmpty();

        // Short requests ask for no whole window each.
        for (int i = 0; i < 6; i++)
        {
            harness.Add([i, 1, 2], 2);
        }

        harness.Executor.RunStep();
        Assert.Equal(6, harness.Scheduler.Running.Count);
        Assert.Throws<InvalidOperationException>(() => new SchedulerHarness(9, 1, 8, attention: ToyAttention.Parse("full 4/1/2", PageSize), streamingPages: 2).Add(new int[20], 4));
        Assert.Throws<ArgumentException>(() => new Scheduler(pool: null, new SchedulerLimits(1, 1, 1)));
    }

    [Fact]
    public void A_beginning_is_shared_as_far_as_the_pages_are_there_that_are_read_behind_it()
    {
        // Windows of 8 pages: 2 of sinks, 6 local ones.
        SchedulerHarness harness = new(pages: 200, maxSequences: 4, maxTokens: 64, attention: ToyAttention.Parse("full 8/1/3", PageSize), streamingPages: 40);
        int[] prompt = [.. Enumerable.Range(0, 122).Select(i => (i * 11) % 59)];
        Complete(harness, harness.AddScore(prompt, [1, 2, 3]));
        Assert.Equal(0, harness.Scheduler.PrefixHitTokens);

        // Everything before the last page is there: 30 whole pages.
        Complete(harness, harness.AddScore(prompt, [4, 5]));
        Assert.Equal(120, harness.Scheduler.PrefixHitTokens);

        // A shorter beginning needs pages of the middle, which were given back long ago but not needed since.
        Complete(harness, harness.AddScore(prompt[..61], [4, 5]));
        Assert.Equal(120 + 60, harness.Scheduler.PrefixHitTokens);

        // Other requests take the space of the pages that were released first: those of the middle.
        Complete(harness, harness.Add([.. Enumerable.Range(0, 90).Select(i => (i * 7) % 58)], 2));
        long before = harness.Scheduler.PrefixHitTokens;
        (Sequence Sequence, Action Check) again = harness.AddScore(prompt[..101], [4, 5]);
        harness.CheckPages();
        int usable = harness.Scheduler.SharedPages(again.Sequence);
        Assert.InRange(usable, 0, 24);
        Complete(harness, again);
        Assert.Equal(usable * PageSize, harness.Scheduler.PrefixHitTokens - before);
        harness.CheckEmpty();
        output.WriteLine($"of a beginning of 25 pages {usable} were usable");
    }

    [Theory]
    [InlineData("full 4/1/2", 60)]
    [InlineData("4/1/2", 60)]
    public void Requests_with_one_prompt_compute_it_once_even_when_they_come_together(string attention, int streamingPages)
    {
        SchedulerHarness harness = new(pages: 100, maxSequences: 16, maxTokens: 64, attention: ToyAttention.Parse(attention, PageSize), streamingPages: streamingPages);
        int[] prompt = [.. Enumerable.Range(0, 42).Select(i => (i * 7) % 50)];
        List<Action> checks = [];
        for (int choice = 0; choice < 5; choice++)
        {
            checks.Add(harness.AddScore(prompt, [choice, 3, choice]).Check);
        }

        harness.Drain();
        checks.ForEach(check => check());
        Assert.Equal(4 * 40, harness.Scheduler.PrefixHitTokens);
        Assert.Equal(42 + 2 + (4 * (2 + 2)), harness.Model.ComputedTokens);
        harness.CheckEmpty();
    }

    [Fact]
    public void What_no_later_token_reads_is_not_computed()
    {
        // Only streaming attentions, no sinks, windows of one block: the first token of a block sees nothing before it, so the tokens before the last block matter to nobody.
        SchedulerHarness harness = new(pages: 1, maxSequences: 2, maxTokens: 64, attention: ToyAttention.Parse("6/0/1", PageSize), streamingPages: 20);
        (_, Action check) = harness.Add([.. Enumerable.Range(0, 700).Select(i => (i * 13) % 60)], 30);
        harness.Drain();
        check();
        harness.CheckEmpty();
        Assert.Equal(696, harness.Scheduler.PrefixHitTokens);
        Assert.Equal(4 + 29, harness.Model.ComputedTokens);
    }

    [Fact]
    public void What_was_computed_beyond_the_accepted_tokens_is_given_back_and_nothing_before_it()
    {
        StreamingPattern pattern = new(4, 1, 2, PageSize);
        PagePool pages = new(20, PageSize);
        StreamingPages table = new();
        for (int i = 0; i < 8; i++)
        {
            table.Add(pages.Allocate());
        }

        // 32 tokens have pages, 18 count: of those the sink block and the blocks from 12 on are read.
        Assert.Equal(2, table.Advance(pages, pattern, 18, 18));
        Assert.Equal([true, false, false, true, true], Enumerable.Range(0, table.Count).Select(i => table[i] != StreamingPages.Returned));
        Assert.Equal((3, 3), (table.Held, pages.InUse));
        table.Clear(pages);
        Assert.Equal((0, 0, 0), (table.Count, table.Held, pages.InUse));
    }

    [Fact]
    public void A_million_tokens_cost_bookkeeping_in_proportion()
    {
        // The published pattern and page size; three requests, one of them of a million tokens, decode together at its end.
        const int Length = 1_000_000;
        const int Page = 16;
        StreamingPattern pattern = new(128, 1, 7, Page);
        PagePool full = new((Length / Page) + 200, Page);
        StreamingPool streaming = new(new PagePool((3 * pattern.WindowPages) + (512 / Page), Page), pattern);
        Scheduler scheduler = new(full, new SchedulerLimits(3, 512, 8), streaming);
        PackedStep step = new(512, 3, Length / Page, Page, ngramNeighbors: 0, pattern);
        StepExecutor executor = new(scheduler, new Nothing(), step);
        scheduler.Add(Request(Length - 600, 600));
        System.Diagnostics.Stopwatch watch = System.Diagnostics.Stopwatch.StartNew();
        long steps = 0;
        for (; scheduler.Waiting.Count > 0 || scheduler.Running[0].Computed < Length - 600; steps++)
        {
            Assert.True(executor.RunStep());
        }

        TimeSpan prefill = watch.Elapsed;
        long written = step.TableEntriesWritten;
        Assert.Equal((Length - 600 + 511) / 512, steps);

        // Each page once, both rows again whenever they grew wider (twice as wide each time), and for each step the window before and after it.
        Assert.InRange(written, Length / Page, (8 * (Length / Page)) + (steps * 2 * (pattern.WindowPages + (512 / Page) + 1)));
        Assert.True(streaming.Pages.PeakInUse <= pattern.WindowPages + (512 / Page));

        scheduler.Add(Request(30, 500));
        scheduler.Add(Request(31, 500));
        watch.Restart();
        for (int i = 0; i < 400; i++)
        {
            Assert.True(executor.RunStep());
        }

        Assert.Equal(3, scheduler.Running.Count);
        long decoding = step.TableEntriesWritten - written;
        Assert.InRange(decoding, 1, (3 * (Length / Page)) + (400 * 3 * 2 * (pattern.WindowPages + 1)));
        output.WriteLine(
            $"prefill: {steps} steps, {prefill.TotalMilliseconds:F0} ms of bookkeeping, {written} entries; 400 steps of decoding: {watch.Elapsed.TotalMilliseconds:F0} ms, {decoding} entries");
        foreach (Sequence sequence in scheduler.Running.ToArray())
        {
            scheduler.Remove(sequence);
        }

        Assert.Equal((0, 0), (full.InUse, streaming.Pages.InUse));

        static GenerationSequence Request(int prompt, int tokens) => new(
            [.. Enumerable.Range(prompt, prompt).Select(i => i % 50)], new GenerationOptions { MaxNewTokens = tokens }, new GenerationLimits(tokens, []), null, new Sampler(), new(), null, adapter: -1, default);
    }

    private static void Complete(SchedulerHarness harness, (Sequence Sequence, Action Check) request)
    {
        harness.Drain();
        request.Check();
        harness.CheckPages();
    }

    /// <summary>Computes nothing.</summary>
    private sealed class Nothing : IModelRunner
    {
        private readonly float[] _logits = new float[4];

        public int VocabSize => _logits.Length;

        public int HiddenSize => 0;

        public void Run(PackedStep step)
        {
        }

        public ReadOnlySpan<float> Logits(int row) => _logits;

        public ReadOnlySpan<float> Hidden(int token) => default;

        public void Abort()
        {
        }

        public void Dispose()
        {
        }
    }
}
