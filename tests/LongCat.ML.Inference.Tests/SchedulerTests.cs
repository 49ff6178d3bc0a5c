using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

/// <summary>Scheduling without threads and without ONNX Runtime: the toy model checks every input of every step.</summary>
public sealed class SchedulerTests(ITestOutputHelper output)
{
    private const int PageSize = 4;

    [Theory]
    [InlineData(1, 24, 8, 7)]
    [InlineData(2, 40, 4, 3)]
    [InlineData(3, 200, 16, 64)]
    [InlineData(4, 18, 6, 1)]
    [InlineData(5, 30, 12, 5)]
    public void A_thousand_random_requests_get_what_they_would_get_alone_and_every_page_comes_back(int seed, int pages, int maxSequences, int maxTokens)
    {
        Random random = new(seed);
        Harness harness = new(pages, maxSequences, maxTokens);
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
        Assert.Equal(0, harness.Pool.InUse);
        output.WriteLine(
            $"{submitted} requests, {cancelled} cancelled, {steps} steps, {harness.Scheduler.Preemptions} preemptions, {harness.Scheduler.PrefixHitTokens} tokens shared");
        Assert.True(pages >= 100 || harness.Scheduler.Preemptions > 0, "the small pools of this test should preempt");
    }

    [Fact]
    public void A_long_prompt_does_not_delay_a_short_one_or_a_decoding_one()
    {
        Harness harness = new(pages: 200, maxSequences: 4, maxTokens: 16);
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
        Harness harness = new(pages: 100, maxSequences: 16, maxTokens: 64);
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
        Assert.Equal(0, harness.Pool.InUse);
    }

    [Fact]
    public void Preempted_requests_are_recomputed_and_end_the_same()
    {
        Harness harness = new(pages: 12, maxSequences: 4, maxTokens: 32);
        List<Action> checks = [];
        for (int i = 0; i < 4; i++)
        {
            checks.Add(harness.Add([i, i + 1, i + 2, i + 3, i + 4], 38).Check);
        }

        harness.Drain();
        checks.ForEach(check => check());
        Assert.True(harness.Scheduler.Preemptions > 0);
        Assert.Equal(0, harness.Pool.InUse);
    }

    [Fact]
    public void Many_decoding_requests_leave_prompts_a_part_of_a_small_step()
    {
        Harness harness = new(pages: 400, maxSequences: 9, maxTokens: 8);
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

    /// <summary>A scheduler over the toy model, and requests that know what they must produce.</summary>
    private sealed class Harness
    {
        private readonly Sampler _sampler = new();
        private readonly List<int[]> _prefixes = [];

        public Harness(int pages, int maxSequences, int maxTokens)
        {
            Pool = new PagePool(pages, PageSize);
            Model = new ToyModel(pages, PageSize);
            Scheduler = new Scheduler(Pool, new SchedulerLimits(maxSequences, maxTokens, maxSequences + 2));
            Executor = new StepExecutor(Scheduler, Model, new PackedStep(maxTokens, maxSequences, pages, PageSize, ngramNeighbors: 3));
        }

        public PagePool Pool { get; }

        public ToyModel Model { get; }

        public Scheduler Scheduler { get; }

        public StepExecutor Executor { get; }

        public (Sequence Sequence, Action Check) Add(int[] prompt, int newTokens, ulong seed = 0, float temperature = 0)
        {
            GenerationOptions options = new() { MaxNewTokens = newTokens, Seed = seed, Temperature = temperature };
            TaskCompletionSource<GenerationResult> task = new();
            GenerationSequence sequence = new(prompt, options, new GenerationLimits(newTokens, []), null, _sampler, task, null, default);
            Scheduler.Add(sequence);
            return (sequence, () =>
            {
                List<int> tokens = [.. prompt];
                for (int i = 0; i < newTokens; i++)
                {
                    tokens.Add(new Sampler().Sample(ToyModel.Expected(tokens), options, seed, tokens.Count));
                }

                Assert.Equal(tokens[prompt.Length..], task.Task.Result.Ids);
            });
        }

        public (Sequence Sequence, Action Check) AddScore(int[] prompt, int[] continuation)
        {
            TaskCompletionSource<ScoreResult> task = new();
            ScoreSequence sequence = new(prompt, continuation, task, default);
            Scheduler.Add(sequence);
            return (sequence, () =>
            {
                List<int> tokens = [.. prompt];
                foreach ((int id, double actual) in continuation.Zip(task.Task.Result.TokenLogLikelihoods))
                {
                    float[] logits = ToyModel.Expected(tokens);
                    Assert.Equal(logits[id] - LogSoftmax.LogSumExp(logits), actual);
                    tokens.Add(id);
                }
            });
        }

        public (Sequence Sequence, Action Check) AddLogits(int[] ids)
        {
            TaskCompletionSource<float[]> task = new();
            LogitsSequence sequence = new(ids, ToyModel.Vocabulary, task, default);
            Scheduler.Add(sequence);
            return (sequence, () =>
            {
                for (int t = 0; t < ids.Length; t++)
                {
                    Assert.Equal(ToyModel.Expected(ids[..(t + 1)]), task.Task.Result[(t * ToyModel.Vocabulary)..((t + 1) * ToyModel.Vocabulary)]);
                }
            });
        }

        public (Sequence Sequence, Action Check) AddEmbedding(int[] ids, EmbeddingPooling pooling, bool normalize)
        {
            TaskCompletionSource<EmbeddingResult> task = new();
            EmbeddingSequence sequence = new(ids, pooling, normalize, ToyModel.Hidden, task, default);
            Scheduler.Add(sequence);
            return (sequence, () =>
            {
                Assert.Equal(ids.Length, task.Task.Result.Tokens);
                foreach ((float expected, float actual) in ToyModel.ExpectedEmbedding(ids, pooling, normalize).Zip(task.Task.Result.Vector))
                {
                    // The same sums in double precision, divided in another order.
                    Assert.Equal(expected, actual, 1e-6);
                }
            });
        }

        /// <summary>Any kind of request, often with the beginning of an earlier one; never more than the pool of the test can hold alone.</summary>
        public (Sequence Sequence, Action Check) AddRandom(Random random)
        {
            int most = Math.Min(72, Pool.PageCount * PageSize);
            int[] prompt = [.. Enumerable.Range(0, random.Next(1, most / 2)).Select(_ => random.Next(ToyModel.Vocabulary))];
            if (_prefixes.Count > 0 && random.Next(2) == 0)
            {
                int[] earlier = _prefixes[random.Next(_prefixes.Count)];
                earlier.AsSpan(0, Math.Min(earlier.Length, random.Next(prompt.Length + 1))).CopyTo(prompt);
            }

            _prefixes.Add(prompt);
            int rest = random.Next(1, most - prompt.Length);
            return random.Next(6) switch
            {
                0 => AddScore(prompt, [.. Enumerable.Range(0, rest).Select(_ => random.Next(ToyModel.Vocabulary))]),
                1 => AddLogits(prompt),
                2 => Add(prompt, rest, (ulong)random.Next(), temperature: 1),
                3 => AddEmbedding(prompt, (EmbeddingPooling)random.Next(2), normalize: random.Next(2) == 0),
                _ => Add(prompt, rest),
            };
        }

        public void Drain()
        {
            while (Executor.RunStep())
            {
                foreach (Sequence finished in Executor.Finished)
                {
                    finished.Complete();
                }
            }
        }
    }
}
