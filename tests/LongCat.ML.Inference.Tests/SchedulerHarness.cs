using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Tests;

/// <summary>A scheduler over the toy model, and requests that know what they must produce.</summary>
internal sealed class SchedulerHarness
{
    public const int PageSize = 4;

    private readonly Sampler _sampler = new();
    private readonly List<int[]> _prefixes = [];
    private int _generations;

    /// <param name="pages">Pages of the pool.</param>
    /// <param name="maxSequences">Requests that run at once.</param>
    /// <param name="maxTokens">Tokens of a step.</param>
    /// <param name="poison">A token that makes steps fail.</param>
    /// <param name="repetition">See <see cref="ToyModel.Repetition"/>.</param>
    /// <param name="speculator">Makes the speculator from the harness's sampler; requests then all take part but every fourth.</param>
    public SchedulerHarness(int pages, int maxSequences, int maxTokens, int? poison = null, int repetition = 0, Func<Sampler, Speculator>? speculator = null)
    {
        Pool = new PagePool(pages, PageSize);
        Model = new ToyModel(pages, PageSize) { PoisonToken = poison, Repetition = repetition };
        Speculator = speculator?.Invoke(_sampler);
        Scheduler = new Scheduler(Pool, new SchedulerLimits(maxSequences, maxTokens, maxSequences + 2)) { Speculator = Speculator };
        Executor = new StepExecutor(Scheduler, Model, new PackedStep(maxTokens, maxSequences, pages, PageSize, ngramNeighbors: 3));
    }

    public PagePool Pool { get; }

    public Speculator? Speculator { get; }

    public ToyModel Model { get; }

    public Scheduler Scheduler { get; }

    public StepExecutor Executor { get; }

    public (Sequence Sequence, Action Check) Add(int[] prompt, int newTokens, ulong seed = 0, float temperature = 0, int adapter = -1)
    {
        GenerationOptions options = new() { MaxNewTokens = newTokens, Seed = seed, Temperature = temperature };
        TaskCompletionSource<GenerationResult> task = new();
        GenerationSequence sequence = new(prompt, options, new GenerationLimits(newTokens, []), null, _sampler, task, null, adapter, default)
        {
            Speculation = _generations++ % 4 == 3 ? null : Speculator?.NewState(),
        };
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            List<int> tokens = [.. prompt];
            for (int i = 0; i < newTokens; i++)
            {
                tokens.Add(new Sampler().Sample(ToyModel.Expected(tokens, adapter, Model.Repetition), options, seed, tokens.Count));
            }

            Assert.Equal(tokens[prompt.Length..], task.Task.Result.Ids);
        });
    }

    public (Sequence Sequence, Action Check) AddScore(int[] prompt, int[] continuation, int adapter = -1)
    {
        TaskCompletionSource<ScoreResult> task = new();
        ScoreSequence sequence = new(prompt, continuation, task, adapter, default);
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            List<int> tokens = [.. prompt];
            foreach ((int id, double actual) in continuation.Zip(task.Task.Result.TokenLogLikelihoods))
            {
                float[] logits = ToyModel.Expected(tokens, adapter, Model.Repetition);
                Assert.Equal(logits[id] - LogSoftmax.LogSumExp(logits), actual);
                tokens.Add(id);
            }
        });
    }

    public (Sequence Sequence, Action Check) AddLogits(int[] ids, int adapter = -1)
    {
        TaskCompletionSource<float[]> task = new();
        LogitsSequence sequence = new(ids, ToyModel.Vocabulary, task, adapter, default);
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            for (int t = 0; t < ids.Length; t++)
            {
                Assert.Equal(ToyModel.Expected(ids[..(t + 1)], adapter, Model.Repetition), task.Task.Result[(t * ToyModel.Vocabulary)..((t + 1) * ToyModel.Vocabulary)]);
            }
        });
    }

    public (Sequence Sequence, Action Check) AddEmbedding(int[] ids, EmbeddingPooling pooling, bool normalize, int adapter = -1)
    {
        TaskCompletionSource<EmbeddingResult> task = new();
        EmbeddingSequence sequence = new(ids, pooling, normalize, ToyModel.Hidden, task, adapter, default);
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            Assert.Equal(ids.Length, task.Task.Result.Tokens);
            foreach ((float expected, float actual) in ToyModel.ExpectedEmbedding(ids, pooling, normalize, adapter).Zip(task.Task.Result.Vector))
            {
                // The same sums in double precision, divided in another order.
                Assert.Equal(expected, actual, 1e-6);
            }
        });
    }

    /// <summary>Any kind of request, with one of three adapters or none, often with the beginning of an earlier one; never more than the pool of the test can hold alone.</summary>
    public (Sequence Sequence, Action Check) AddRandom(Random random)
    {
        int most = Math.Min(72, Pool.PageCount * PageSize);
        int[] prompt = [.. Enumerable.Range(0, random.Next(1, most / 2)).Select(_ => random.Next(ToyModel.Vocabulary))];
        if (_prefixes.Count > 0 && random.Next(2) == 0)
        {
            int[] earlier = _prefixes[random.Next(_prefixes.Count)];
            earlier.AsSpan(0, Math.Min(earlier.Length, random.Next(prompt.Length + 1))).CopyTo(prompt);
        }

        if (Model.PoisonToken is int token && random.Next(40) == 0)
        {
            prompt[random.Next(prompt.Length)] = token;
        }

        _prefixes.Add(prompt);
        int rest = random.Next(1, most - prompt.Length);
        int adapter = random.Next(4) - 1;
        return random.Next(6) switch
        {
            0 => AddScore(prompt, [.. Enumerable.Range(0, rest).Select(_ => random.Next(ToyModel.Vocabulary))], adapter),
            1 => AddLogits(prompt, adapter),
            2 => Add(prompt, rest, (ulong)random.Next(), temperature: 1, adapter),
            3 => AddEmbedding(prompt, (EmbeddingPooling)random.Next(2), normalize: random.Next(2) == 0, adapter),
            _ => Add(prompt, rest, adapter: adapter),
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
