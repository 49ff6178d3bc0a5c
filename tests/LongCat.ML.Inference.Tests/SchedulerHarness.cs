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

    /// <param name="pages">Pages of the pool of full attentions.</param>
    /// <param name="maxSequences">Requests that run at once.</param>
    /// <param name="maxTokens">Tokens of a step.</param>
    /// <param name="poison">A token that makes steps fail.</param>
    /// <param name="repetition">See <see cref="ToyModel.Repetition"/>.</param>
    /// <param name="speculator">Makes the speculator from the harness's sampler; requests then all take part but every fourth.</param>
    /// <param name="attention">What the attentions see; by default everything.</param>
    /// <param name="streamingPages">Pages of the pool of streaming attentions.</param>
    public SchedulerHarness(
        int pages, int maxSequences, int maxTokens, int? poison = null, int repetition = 0, Func<Sampler, Speculator>? speculator = null, ToyAttention? attention = null, int streamingPages = 0)
    {
        Attention = attention ?? ToyAttention.Full;
        Pool = Attention.HasFull ? new PagePool(pages, PageSize) : null;
        Streaming = Attention.Streaming is { } pattern ? new StreamingPool(new PagePool(streamingPages, PageSize), pattern) : null;
        Speculator = speculator?.Invoke(_sampler);
        Model = new ToyModel(pages, PageSize, attention: Attention, streamingPages: streamingPages)
        {
            PoisonToken = poison, Repetition = repetition, KeepsPages = Speculator is { IsLossless: false },
        };
        Scheduler = new Scheduler(Pool, new SchedulerLimits(maxSequences, maxTokens, maxSequences + 2), Streaming) { Speculator = Speculator };
        MostTokens = Attention.HasFull ? pages * PageSize : 1 << 16;
        PackedStep step = new(maxTokens, maxSequences, Math.Min(1 << 14, MostTokens / PageSize), PageSize, ngramNeighbors: 3, Attention.Streaming, Attention.HasFull);
        Executor = new StepExecutor(Scheduler, Model, step);
    }

    public ToyAttention Attention { get; }

    /// <summary>Pages of full attentions.</summary>
    public PagePool? Pool { get; }

    public StreamingPool? Streaming { get; }

    /// <summary>The longest sequence that fits.</summary>
    public int MostTokens { get; }

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
            Speculation = _generations % 4 == 3 ? null : Speculator?.NewState(exact: _generations % 4 == 2),
        };
        _generations++;
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            IReadOnlyList<int> ids = task.Task.Result.Ids;
            Assert.Equal(newTokens, ids.Count);
            if (sequence.Speculation?.Verification is not null)
            {
                // Its tokens are another model's, or nearly so.
                return;
            }

            IReadOnlyList<float[]> rows = ToyModel.ExpectedRows([.. prompt, .. ids], adapter, Attention, Model.Repetition);
            Sampler sampler = new();
            for (int i = prompt.Length; i < rows.Count; i++)
            {
                Assert.Equal(sampler.Sample(rows[i - 1], options, seed, i), ids[i - prompt.Length]);
            }
        });
    }

    public (Sequence Sequence, Action Check) AddScore(int[] prompt, int[] continuation, int adapter = -1)
    {
        TaskCompletionSource<ScoreResult> task = new();
        ScoreSequence sequence = new(prompt, continuation, task, adapter, default);
        Scheduler.Add(sequence);
        return (sequence, () =>
        {
            IReadOnlyList<float[]> rows = ToyModel.ExpectedRows([.. prompt, .. continuation], adapter, Attention, Model.Repetition);
            for (int i = 0; i < continuation.Length; i++)
            {
                float[] logits = rows[prompt.Length - 1 + i];
                Assert.Equal(logits[continuation[i]] - LogSoftmax.LogSumExp(logits), task.Task.Result.TokenLogLikelihoods[i]);
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
            IReadOnlyList<float[]> rows = ToyModel.ExpectedRows(ids, adapter, Attention, Model.Repetition);
            for (int t = 0; t < ids.Length; t++)
            {
                Assert.Equal(rows[t], task.Task.Result[(t * ToyModel.Vocabulary)..((t + 1) * ToyModel.Vocabulary)]);
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
            foreach ((float expected, float actual) in ToyModel.ExpectedEmbedding(ids, pooling, normalize, adapter, Attention).Zip(task.Task.Result.Vector))
            {
                // The same sums in double precision, divided in another order.
                Assert.Equal(expected, actual, 1e-6);
            }
        });
    }

    /// <summary>Any kind of request, with one of three adapters or none, often with the beginning of an earlier one; never more than the pool of the test can hold alone.</summary>
    public (Sequence Sequence, Action Check) AddRandom(Random random)
    {
        int most = Math.Min(72, MostTokens);
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

    /// <summary>
    /// Every page in use is held by exactly as many running requests as it has references, none twice by one; who waits holds nothing; a running request holds its window and
    /// no more; and what all of them may come to hold fits.
    /// </summary>
    public void CheckPages()
    {
        Dictionary<int, int> full = [];
        Dictionary<int, int> streaming = [];
        foreach (Sequence sequence in Scheduler.Running)
        {
            Assert.Equal(sequence.Pages.Count, sequence.Pages.Distinct().Count());
            Count(full, sequence.Pages);
            if (Streaming is null)
            {
                continue;
            }

            int[] held = [.. Enumerable.Range(0, sequence.Streaming.Count).Where(index => sequence.Streaming[index] != StreamingPages.Returned)];
            Assert.Equal(held.Length, sequence.Streaming.Held);
            Assert.Equal(held.Length, held.Select(index => sequence.Streaming[index]).Distinct().Count());
            int next = sequence.MostRefreshed > 0 ? sequence.Exact : sequence.Computed;
            int[] read = [.. Enumerable.Range(0, Streaming.Pages.PagesFor(sequence.Computed))
                .Where(index => Enumerable.Range(index * PageSize, PageSize).Any(position => position < sequence.Computed && (position >= next || WillSee(next, position))))];
            Assert.Equal(read, held.Intersect(read));
            Assert.All(held.Except(read), index => Assert.True(IsEdge(sequence.Computed, index), $"page {index} is held behind {sequence.Computed} tokens"));
            Assert.True(held.Length <= Streaming.Share(sequence.MaxCachedTokens, sequence.MostRefreshed));
            Count(streaming, held.Select(index => sequence.Streaming[index]));
        }

        Assert.All(Scheduler.Waiting, sequence => Assert.Equal((0, 0, 0), (sequence.Pages.Count, sequence.Streaming.Count, sequence.Streaming.Held)));
        foreach (Sequence sequence in Scheduler.Waiting)
        {
            Assert.Equal(Shared(sequence), Scheduler.SharedPages(sequence));
        }

        Same(full, Pool);
        Same(streaming, Streaming?.Pages);

        bool WillSee(int next, int position) => Attention.Streaming!.Visible(next, position);

        // A page that holds the last token before a new block and tokens of that block is kept for the latter.
        bool IsEdge(int computed, int index) => (index + 1) * PageSize > computed;

        static void Count(Dictionary<int, int> pages, IEnumerable<int> held)
        {
            foreach (int page in held)
            {
                pages[page] = pages.GetValueOrDefault(page) + 1;
            }
        }

        static void Same(Dictionary<int, int> pages, PagePool? pool)
        {
            Assert.Equal(pages.Count, pool?.InUse ?? 0);
            Assert.All(pages, page => Assert.Equal(page.Value, pool!.References(page.Key)));
        }
    }

    /// <summary>The longest beginning of whole pages, before the first wanted row, behind which everything that is read is held: by trying all.</summary>
    private int Shared(Sequence sequence)
    {
        for (int shared = sequence.NextRow / PageSize; shared > 0; shared--)
        {
            int next = shared * PageSize;
            PageKey[] keys = [.. sequence.Keys.Take(shared)];
            bool usable = Enumerable.Range(0, shared).All(index =>
                (Pool?.TryFind(keys[index], out _) ?? true)
                && (Streaming is null
                    || Streaming.Pages.TryFind(keys[index], out _)
                    || !Enumerable.Range(index * PageSize, PageSize).Any(position => Attention.Streaming!.Visible(next, position))));
            if (usable)
            {
                return shared;
            }
        }

        return 0;
    }

    /// <summary>Everything was given back, once.</summary>
    public void CheckEmpty()
    {
        foreach (PagePool pool in new[] { Pool, Streaming?.Pages }.OfType<PagePool>())
        {
            Assert.Equal((0, pool.PageCount), (pool.InUse, pool.Available));
        }
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
