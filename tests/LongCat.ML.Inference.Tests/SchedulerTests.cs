using LongCat.ML.Inference.Scheduling;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Scheduling without threads and without ONNX Runtime: the toy model checks every input of every step.</summary>
public sealed class SchedulerTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1, 24, 8, 7)]
    [InlineData(2, 40, 4, 3)]
    [InlineData(3, 200, 16, 64)]
    [InlineData(4, 18, 6, 1)]
    [InlineData(5, 30, 12, 5)]
    public void A_thousand_random_requests_get_what_they_would_get_alone_and_every_page_comes_back(int seed, int pages, int maxSequences, int maxTokens)
    {
        Random random = new(seed);
        SchedulerHarness harness = new(pages, maxSequences, maxTokens);
        List<(Sequence Sequence, Action Check)> open = [];
        int submitted = 0;
        int cancelled = 0;
        int steps = 0;
        while (submitted < 1000 || harness.Scheduler.Running.Count + harness.Scheduler.Waiting.Count > 0)
        {
            for (int arrivals = harness.Scheduler.Waiting.Count > 30 ? 0 : random.Next(4); arrivals > 0 && submitted < 1000; arrivals--)
            {
                open.Add(harness.AddRandom(random));
                submitted++;
            }

            if (random.Next(25) == 0 && harness.Scheduler.Running.Count + harness.Scheduler.Waiting.Count > 0)
            {
                Sequence[] all = [.. harness.Scheduler.Running, .. harness.Scheduler.Waiting];
                Sequence victim = all[random.Next(all.Length)];
                harness.Scheduler.Remove(victim);
                open.RemoveAll(entry => entry.Sequence == victim);
                cancelled++;
            }

            harness.Executor.RunStep();
            Assert.Empty(harness.Executor.Failed);
            foreach (Sequence finished in harness.Executor.Finished)
            {
                finished.Complete();
                open.Single(entry => entry.Sequence == finished).Check();
                open.RemoveAll(entry => entry.Sequence == finished);
            }

            Assert.True(harness.Scheduler.Running.Count <= maxSequences);
            Assert.True(++steps < 200_000, "no progress");
        }

        Assert.Empty(open);
        Assert.True(harness.Model.LargestStep <= maxTokens, $"a step of {harness.Model.LargestStep} tokens");
        harness.CheckEmpty();
        output.WriteLine(
            $"{submitted} requests, {cancelled} cancelled, {steps} steps, {harness.Scheduler.Preemptions} preemptions, {harness.Scheduler.PrefixHitTokens} tokens shared");
        Assert.True(pages >= 100 || harness.Scheduler.Preemptions > 0, "the small pools of this test should preempt");
    }

    [Fact]
    public void A_long_prompt_does_not_delay_a_short_one_or_a_decoding_one()
    {
        SchedulerHarness harness = new(pages: 200, maxSequences: 4, maxTokens: 16);
        (Sequence decoding, _) = harness.Add([1, 2, 3], 40);
        harness.Executor.RunStep();
        (Sequence longPrompt, _) = harness.Add([.. Enumerable.Range(0, 400).Select(i => i % 50)], 4);
        harness.Executor.RunStep();
        Assert.True(longPrompt.Computed > 0);
        (Sequence shortPrompt, _) = harness.Add([9, 8, 7, 6, 5], 4);
        int before = decoding.Tokens.Count;
        harness.Executor.RunStep();
        Assert.Equal(6, shortPrompt.Tokens.Count);
        Assert.Equal(before + 1, decoding.Tokens.Count);
        Assert.Equal(15 + 10, longPrompt.Computed);
    }

    [Fact]
    public void Requests_with_one_prompt_compute_it_once_even_when_they_come_together()
    {
        SchedulerHarness harness = new(pages: 100, maxSequences: 16, maxTokens: 64);
        int[] prompt = [.. Enumerable.Range(0, 42).Select(i => (i * 7) % 50)];
        List<Action> checks = [];
        for (int choice = 0; choice < 5; choice++)
        {
            checks.Add(harness.AddScore(prompt, [choice, 3, choice]).Check);
        }

        harness.Drain();
        checks.ForEach(check => check());

        // 40 of 42 prompt tokens fill pages; each of four later requests computes the rest of the prompt and two of its three own tokens.
        Assert.Equal(4 * 40, harness.Scheduler.PrefixHitTokens);
        Assert.Equal(42 + 2 + (4 * (2 + 2)), harness.Model.ComputedTokens);
        harness.CheckEmpty();
    }

    [Fact]
    public void Preempted_requests_are_recomputed_and_end_the_same()
    {
        SchedulerHarness harness = new(pages: 12, maxSequences: 4, maxTokens: 32);
        List<Action> checks = [];
        for (int i = 0; i < 4; i++)
        {
            checks.Add(harness.Add([i, i + 1, i + 2, i + 3, i + 4], 38).Check);
        }

        harness.Drain();
        checks.ForEach(check => check());
        Assert.True(harness.Scheduler.Preemptions > 0);
        harness.CheckEmpty();
    }

    [Fact]
    public void Many_decoding_requests_leave_prompts_a_part_of_a_small_step()
    {
        SchedulerHarness harness = new(pages: 400, maxSequences: 9, maxTokens: 8);
        for (int i = 0; i < 8; i++)
        {
            harness.Add([i, 50 - i], 30);
        }

        for (int i = 0; i < 4; i++)
        {
            harness.Executor.RunStep();
        }

        (Sequence prompt, _) = harness.Add([.. Enumerable.Range(0, 20)], 2);
        for (int i = 0; i < 10; i++)
        {
            harness.Executor.RunStep();
        }

        Assert.True(prompt.Tokens.Count > 20, $"{prompt.Computed} of 20 prompt tokens after ten steps");
    }
}
