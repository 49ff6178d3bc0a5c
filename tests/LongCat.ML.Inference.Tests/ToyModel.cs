using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference.Tests;

/// <summary>
/// A model whose logits are a hash of what its attentions see, read through the block tables out of paged caches as a real one reads keys and values. What a token leaves in
/// the caches depends on everything before it, so a page that is shared, freed, given back or written wrongly changes the output. Checks every input on the way: each page
/// that a token reads is there, and no other streaming page is.
/// </summary>
internal sealed class ToyModel : IModelRunner
{
    public const int Vocabulary = 61;
    public const int Hidden = 5;

    private readonly int _pageSize;
    private readonly int _neighbors;
    private readonly int _streamingPages;
    private readonly Cell[] _cache;
    private readonly Cell[] _streamingCache;
    private readonly List<float[]> _rows = [];
    private readonly List<float[]> _hidden = [];
    private readonly ManualResetEventSlim _gate = new(true);
    private volatile bool _aborted;

    public ToyModel(int pages, int pageSize, int neighbors = 3, ToyAttention? attention = null, int streamingPages = 0)
    {
        Attention = attention ?? ToyAttention.Full;
        _pageSize = pageSize;
        _neighbors = neighbors;
        _streamingPages = streamingPages;
        _cache = new Cell[Attention.HasFull ? pages * pageSize : 0];
        _streamingCache = new Cell[Attention.Streaming is null ? 0 : streamingPages * pageSize];
        Array.Fill(_cache, Cell.Empty);
        Array.Fill(_streamingCache, Cell.Empty);
    }

    public ToyAttention Attention { get; }

    /// <summary>The most streaming pages that one sequence had in a step.</summary>
    public int MostStreamingPages { get; private set; }

    public int VocabSize => Vocabulary;

    public int HiddenSize { get; init; } = Hidden;

    /// <summary>
    /// Above 0: the token that followed the last so many tokens at their latest earlier occurrence is made likely (but not always the likeliest), as models tend to repeat
    /// themselves: gives proposals something to be right about. With full attentions.
    /// </summary>
    public int Repetition { get; init; }

    /// <summary>Above 0: one row in so many, by its hash, is turned around, as a draft that is wrong now and then.</summary>
    public int WrongEvery { get; init; }

    /// <summary>Whether streaming pages may be held that no token of a step reads, because tokens before it will be computed again.</summary>
    public bool KeepsPages { get; init; }

    public int LargestStep { get; private set; }

    public long ComputedTokens { get; private set; }

    /// <summary>Steps that were asked for hidden states.</summary>
    public int HiddenSteps { get; private set; }

    public IReadOnlyList<LoadedAdapter> Adapters { get; init; } = [];

    /// <summary>Adapters of these names, which are no more than names.</summary>
    public static IReadOnlyList<LoadedAdapter> Named(params string[] names) =>
        [.. names.Select(name => new LoadedAdapter { Name = name, Folder = name, ContentHash = "", Modules = 1, Rank = 1, Bytes = 10 })];

    /// <summary>A token that makes any step fail that holds it.</summary>
    public int? PoisonToken { get; init; }

    /// <summary>Makes steps wait until <see cref="Open"/>.</summary>
    public void Close() => _gate.Reset();

    public void Open() => _gate.Set();

    public bool Disposed { get; private set; }

    /// <summary>Tokens that were computed sparsely.</summary>
    public long SparseTokens { get; private set; }

    /// <summary>What a sparse step leaves of a state: another one in three of four cases.</summary>
    private ulong Approximate(ulong state, byte sparse)
    {
        SparseTokens += sparse;
        return sparse == 0 || state % 4 == 0 ? state : ToyAttention.Mix(state + 12345);
    }

    /// <summary>A manifest that fits this model.</summary>
    public static ModelManifest Manifest(int maxPositions = 256, int neighbors = 3, params int[] eos) => new()
    {
        Architecture = "Toy",
        Precision = WeightPrecision.F32,
        VocabSize = Vocabulary,
        HiddenSize = Hidden,
        MaxPositions = maxPositions,
        BosTokenId = 1,
        EosTokenIds = eos,
        NgramNeighbors = neighbors,
        Caches = [new CacheLayout(1)],
        Files = new Dictionary<string, ManifestFile>(),
    };

    /// <summary>An engine over this model.</summary>
    public static InferenceEngine Engine(ToyModel model, EngineOptions options, int pages, ModelManifest? manifest = null, ITextCodec? codec = null, Func<Sampler, Speculator>? speculator = null)
    {
        Sampler sampler = new();
        manifest ??= Manifest();
        int longest = (manifest.MaxPositions + options.PageSize - 1) / options.PageSize;
        EngineCapacity capacity = new(
            model.Attention.HasFull ? pages : 0,
            model.Attention.HasFull ? Math.Min(pages, longest) : longest,
            Math.Max(options.MaxSequences, 8),
            model._streamingPages,
            model.Attention.Streaming);
        return new InferenceEngine(manifest, codec, model, options, capacity, speculator?.Invoke(sampler), sampler);
    }

    /// <summary>Steps that failed for another reason than a poisoned token or the end of the engine: the engine repeats such a step, so its results alone would not show them.</summary>
    public int Faults { get; private set; }

    public void Run(PackedStep step)
    {
        try
        {
            RunStep(step);
        }
        catch (Exception exception) when (exception is not InvalidOperationException)
        {
            Faults++;
            throw;
        }
    }

    private void RunStep(PackedStep step)
    {
        _gate.Wait();
        if (_aborted)
        {
            throw new InvalidOperationException("aborted");
        }

        LargestStep = Math.Max(LargestStep, step.Tokens);
        ComputedTokens += step.Tokens;
        _rows.Clear();
        _hidden.Clear();
        HiddenSteps += step.WantsHidden ? 1 : 0;
        int next = 0;
        FailIfPoisoned(step);
        for (int s = 0; s < step.Sequences; s++)
        {
            int start = step.QueryStart[s];
            int end = step.QueryStart[s + 1];
            Assert.True(end > start);
            int first = (int)step.PositionIds[start];
            Assert.Equal(first + end - start, step.ContextLength[s]);
            for (int t = start; t < end; t++)
            {
                Assert.Equal(first + t - start, step.PositionIds[t]);
            }

            CheckTables(step, s, first);
            int adapter = step.RowAdapter[start];
            for (int t = start; t < end; t++)
            {
                Assert.Equal(adapter, step.RowAdapter[t]);
            }

            // All tokens before must be those of one sequence, not only that one whose state is read.
            ulong seen = ToyAttention.Start(adapter);
            ulong chain = seen;
            List<int> tokens = [];
            for (int position = 0; position < first && Attention.HasFull; position++)
            {
                Cell cell = Read(step, s, position, adapter);
                chain = Next(chain, cell.Token);
                if (cell.Chain != chain)
                {
                    Assert.Fail($"the page of position {position} belongs to a sequence with another beginning");
                }

                seen = cell.State;
                tokens.Add(cell.Token);
            }

            for (int t = start; t < end; t++)
            {
                int position = first + t - start;
                int token = (int)step.InputIds[t];
                ulong state = Attention.State(token, seen, position, earlier => ReadStreaming(step, s, earlier, adapter).State);
                state = Approximate(state, step.SparseRows[t]);
                Assert.Equal(step.SparseRows[start], step.SparseRows[t]);
                chain = Attention.HasFull ? Next(chain, token) : 0;
                tokens.Add(token);
                Cell cell = new(token, position, adapter, state, chain);
                if (Attention.HasFull)
                {
                    Slot(step, s, position) = cell;
                    seen = state;
                }

                if (Attention.Streaming is not null)
                {
                    StreamingSlot(step, s, position) = cell;
                }

                if (step.WantsHidden)
                {
                    _hidden.Add(HiddenRow(state));
                }

                if (next < step.Rows && step.LogitsIndex[next] == t)
                {
                    float[] row = Repeat(Row(state), tokens, Repetition, state);
                    _rows.Add(WrongEvery > 0 && state % (ulong)WrongEvery == 0 ? [.. row.Select(value => -value)] : row);
                    next++;
                }
            }

            // Whatever was before the step too: these tokens are in one of the caches as long as a streaming attention sees them.
            for (int k = 0; k < _neighbors - 1; k++)
            {
                int position = first - (_neighbors - 1) + k;
                long given = step.NgramContext[(s * (_neighbors - 1)) + k];
                if (position < 0)
                {
                    Assert.Equal(-1, given);
                }
                else if (Attention.HasFull)
                {
                    Assert.Equal(Read(step, s, position, adapter).Token, given);
                }
                else if (Attention.Streaming!.Visible(first, position))
                {
                    Assert.Equal(ReadStreaming(step, s, position, adapter).Token, given);
                }
            }
        }

        Assert.Equal(step.Tokens, step.QueryStart[step.Sequences]);
        Assert.Equal(step.Rows, next);
    }

    public ReadOnlySpan<float> Logits(int row) => _rows[row];

    ReadOnlySpan<float> IModelRunner.Hidden(int token) => _hidden[token];

    public void Abort() => (_aborted, _) = (true, SetOpen());

    public void Dispose() => Disposed = true;

    /// <summary>The logits after a list of tokens, computed without caches, pages or batches.</summary>
    public static float[] Expected(IEnumerable<int> tokens, int adapter = -1, int repetition = 0, ToyAttention? attention = null)
    {
        List<int> read = [.. tokens];
        ulong state = (attention ?? ToyAttention.Full).States(read, adapter)[^1];
        return Repeat(Row(state), read, repetition, state);
    }

    /// <summary>The logits after each of a list of tokens.</summary>
    public static IReadOnlyList<float[]> ExpectedRows(IReadOnlyList<int> tokens, int adapter = -1, ToyAttention? attention = null, int repetition = 0) =>
        [.. (attention ?? ToyAttention.Full).States(tokens, adapter).Select((state, last) => Repeat(Row(state), repetition > 0 ? [.. tokens.Take(last + 1)] : [], repetition, state))];

    /// <summary>The hidden state of the last of a list of tokens, computed without caches, pages or batches.</summary>
    public static float[] ExpectedHidden(IEnumerable<int> tokens, int adapter = -1, ToyAttention? attention = null) =>
        HiddenRow((attention ?? ToyAttention.Full).States(tokens, adapter)[^1]);

    /// <summary>The embedding of a list of tokens, likewise.</summary>
    public static float[] ExpectedEmbedding(IReadOnlyList<int> tokens, EmbeddingPooling pooling, bool normalize, int adapter = -1, ToyAttention? attention = null)
    {
        IReadOnlyList<ulong> states = (attention ?? ToyAttention.Full).States(tokens, adapter);
        int first = pooling == EmbeddingPooling.Mean ? 0 : tokens.Count - 1;
        double[] mean = new double[Hidden];
        for (int last = first; last < tokens.Count; last++)
        {
            float[] row = HiddenRow(states[last]);
            for (int i = 0; i < Hidden; i++)
            {
                mean[i] += row[i] / (double)(tokens.Count - first);
            }
        }

        double length = normalize ? Math.Sqrt(mean.Sum(value => value * value)) : 1;
        return Array.ConvertAll(mean, value => (float)(value / length));
    }

    private bool SetOpen()
    {
        _gate.Set();
        return true;
    }

    /// <summary>A step that fails leaves anything in the places of its tokens.</summary>
    private void FailIfPoisoned(PackedStep step)
    {
        if (PoisonToken is not int poison || !step.InputIds.AsSpan(0, step.Tokens).Contains(poison))
        {
            return;
        }

        for (int s = 0; s < step.Sequences; s++)
        {
            for (int t = step.QueryStart[s]; t < step.QueryStart[s + 1]; t++)
            {
                if (Attention.HasFull)
                {
                    Slot(step, s, (int)step.PositionIds[t]) = Cell.Empty;
                }

                if (Attention.Streaming is not null)
                {
                    StreamingSlot(step, s, (int)step.PositionIds[t]) = Cell.Empty;
                }
            }
        }

        throw new InvalidOperationException($"token {poison} is poison");
    }

    /// <summary>Full pages: one for every token and none beyond. Streaming pages: one where a token of the step is written or sees another, and none elsewhere.</summary>
    private void CheckTables(PackedStep step, int sequence, int first)
    {
        int pages = (step.ContextLength[sequence] + _pageSize - 1) / _pageSize;
        for (int block = 0; block < step.Blocks; block++)
        {
            if ((block < pages && Attention.HasFull) != step.BlockTable[(sequence * step.Blocks) + block] >= 0)
            {
                Assert.Fail($"page {block} of a sequence of {step.ContextLength[sequence]} tokens is {step.BlockTable[(sequence * step.Blocks) + block]}");
            }
        }

        if (Attention.Streaming is not { } pattern)
        {
            Assert.Null(step.StreamingBlockTable);
            return;
        }

        int held = 0;
        for (int block = 0; block < step.StreamingBlocks; block++)
        {
            // The first token of the step sees most of what is before it; those behind it see no more of that.
            bool needed = block < pages && Enumerable.Range(block * _pageSize, _pageSize).Any(position => position >= first || pattern.Visible(first, position));
            bool there = step.StreamingBlockTable![(sequence * step.StreamingBlocks) + block] >= 0;
            if (needed != there && !(there && KeepsPages && block < pages))
            {
                Assert.Fail($"streaming page {block} of a sequence with tokens from {first} to {step.ContextLength[sequence] - 1} is {(there ? "still held" : "missing")}");
            }

            held += there ? 1 : 0;
        }

        MostStreamingPages = Math.Max(MostStreamingPages, held);
    }

    private Cell Read(PackedStep step, int sequence, int position, int adapter) => Checked(Slot(step, sequence, position), position, adapter, "page");

    private Cell ReadStreaming(PackedStep step, int sequence, int position, int adapter) => Checked(StreamingSlot(step, sequence, position), position, adapter, "streaming page");

    private static Cell Checked(Cell cell, int position, int adapter, string what)
    {
        if (cell.Position != position || cell.Adapter != adapter)
        {
            Assert.Fail($"the {what} of position {position} holds position {cell.Position} of adapter {cell.Adapter}, adapter {adapter} reads it");
        }

        return cell;
    }

    private ref Cell Slot(PackedStep step, int sequence, int position) =>
        ref Slot(_cache, step.BlockTable[(sequence * step.Blocks) + (position / _pageSize)], position);

    private ref Cell StreamingSlot(PackedStep step, int sequence, int position) =>
        ref Slot(_streamingCache, step.StreamingBlockTable![(sequence * step.StreamingBlocks) + (position / _pageSize)], position);

    private ref Cell Slot(Cell[] cache, int page, int position)
    {
        if ((uint)page >= (uint)(cache.Length / _pageSize))
        {
            Assert.Fail($"position {position} has page {page}");
        }

        return ref cache[(page * _pageSize) + (position % _pageSize)];
    }

    /// <summary>What a token leaves in a cache.</summary>
    private readonly record struct Cell(int Token, int Position, int Adapter, ulong State, ulong Chain)
    {
        public static readonly Cell Empty = new(-1, -1, -2, 0, 0);
    }

    public static float[] Row(ulong hash)
    {
        float[] row = new float[Vocabulary];
        for (int id = 0; id < Vocabulary; id++)
        {
            row[id] = (ToyAttention.Mix(hash ^ ((ulong)id * 0x9E3779B97F4A7C15UL)) >> 40) * (4f / (1 << 24));
        }

        // Never the most probable token: greedy requests do not run into it where it is the poison.
        row[^1] = -1;

        return row;
    }

    private static float[] Repeat(float[] row, List<int> tokens, int repetition, ulong hash)
    {
        for (int place = tokens.Count - 1; repetition > 0 && place >= repetition; place--)
        {
            if (CollectionsMarshal.AsSpan(tokens).Slice(place - repetition, repetition).SequenceEqual(CollectionsMarshal.AsSpan(tokens)[^repetition..]))
            {
                // Four times in five above every other token.
                row[tokens[place]] += hash % 5 == 0 ? 1 : 4;
                break;
            }
        }

        return row;
    }

    /// <summary>The hash itself in three numbers of 24, 24 and 16 bits, so that a head can go on from it, and two more of noise.</summary>
    public static float[] HiddenRow(ulong hash) =>
        [Bits(hash & 0xFFFFFF), Bits((hash >> 24) & 0xFFFFFF), Bits(hash >> 48), Bits(ToyAttention.Mix(hash + 1) >> 40), Bits(ToyAttention.Mix(hash + 2) >> 40)];

    /// <summary>The hash in a hidden state.</summary>
    public static ulong HashOf(ReadOnlySpan<float> hidden) => Bits(hidden[0]) | (Bits(hidden[1]) << 24) | (Bits(hidden[2]) << 48);

    /// <summary>The hash after one more token, where all attentions are full.</summary>
    public static ulong Next(ulong hash, int token) => ToyAttention.Mix(hash + (ulong)token + 1);

    private static float Bits(ulong value) => ((long)value - (1 << 23)) * (1f / (1 << 23));

    private static ulong Bits(float value) => (ulong)((long)(value * (1 << 23)) + (1 << 23));
}
