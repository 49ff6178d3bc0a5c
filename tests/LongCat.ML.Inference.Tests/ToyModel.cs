using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference.Tests;

/// <summary>
/// A model whose logits are a hash of every token before them, read through the block table out of a paged cache as a real one reads keys and values:
/// a page that is shared, freed or written wrongly changes the output. Checks every input on the way.
/// </summary>
internal sealed class ToyModel : IModelRunner
{
    public const int Vocabulary = 61;
    public const int Hidden = 5;

    private readonly int _pageSize;
    private readonly int _neighbors;
    private readonly (int Token, int Position, int Adapter)[] _cache;
    private readonly List<float[]> _rows = [];
    private readonly List<float[]> _hidden = [];
    private readonly ManualResetEventSlim _gate = new(true);
    private volatile bool _aborted;

    public ToyModel(int pages, int pageSize, int neighbors = 3)
    {
        _pageSize = pageSize;
        _neighbors = neighbors;
        _cache = new (int, int, int)[pages * pageSize];
        Array.Fill(_cache, (-1, -1, -2));
    }

    public int VocabSize => Vocabulary;

    public int HiddenSize { get; init; } = Hidden;

    /// <summary>
    /// Above 0: the token that followed the last so many tokens at their latest earlier occurrence is made likely (but not always the likeliest), as models tend to repeat
    /// themselves: gives proposals something to be right about.
    /// </summary>
    public int Repetition { get; init; }

    /// <summary>Above 0: one row in so many, by its hash, is turned around, as a draft that is wrong now and then.</summary>
    public int WrongEvery { get; init; }

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
        int perSequence = Math.Min(pages, (manifest.MaxPositions + options.PageSize - 1) / options.PageSize);
        return new InferenceEngine(manifest, codec, model, options, new EngineCapacity(pages, perSequence, Math.Max(options.MaxSequences, 8)), speculator?.Invoke(sampler), sampler);
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
                if (step.InputIds[t] == PoisonToken)
                {
                    throw new InvalidOperationException($"token {PoisonToken} is poison");
                }

                Slot(step, s, (int)step.PositionIds[t]) = ((int)step.InputIds[t], (int)step.PositionIds[t], step.RowAdapter[t]);
            }

            for (int k = 0; k < _neighbors - 1; k++)
            {
                int position = first - (_neighbors - 1) + k;
                Assert.Equal(position < 0 ? -1 : Slot(step, s, position).Token, step.NgramContext[(s * (_neighbors - 1)) + k]);
            }

            int adapter = step.RowAdapter[start];
            for (int t = start; t < end; t++)
            {
                Assert.Equal(adapter, step.RowAdapter[t]);
            }

            ulong hash = Start(adapter);
            List<int> read = [];
            for (int position = 0; position < step.ContextLength[s]; position++)
            {
                (int token, int written, int writer) = Slot(step, s, position);
                if (position != written || writer != adapter)
                {
                    Assert.Fail($"the page of position {position} holds position {written} of adapter {writer}, adapter {adapter} reads it");
                }

                hash = Mix(hash + (ulong)token + 1);
                read.Add(token);
                if (step.WantsHidden && position >= first)
                {
                    _hidden.Add(HiddenRow(hash));
                }

                if (next < step.Rows && step.LogitsIndex[next] == start + position - first)
                {
                    float[] row = Repeat(Row(hash), read, Repetition, hash);
                    _rows.Add(WrongEvery > 0 && hash % (ulong)WrongEvery == 0 ? [.. row.Select(value => -value)] : row);
                    next++;
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
    public static float[] Expected(IEnumerable<int> tokens, int adapter = -1, int repetition = 0)
    {
        ulong hash = Start(adapter);
        List<int> read = [];
        foreach (int token in tokens)
        {
            hash = Mix(hash + (ulong)token + 1);
            read.Add(token);
        }

        return Repeat(Row(hash), read, repetition, hash);
    }

    /// <summary>The hidden state of the last of a list of tokens, computed without caches, pages or batches.</summary>
    public static float[] ExpectedHidden(IEnumerable<int> tokens, int adapter = -1)
    {
        ulong hash = Start(adapter);
        foreach (int token in tokens)
        {
            hash = Mix(hash + (ulong)token + 1);
        }

        return HiddenRow(hash);
    }

    /// <summary>The embedding of a list of tokens, likewise.</summary>
    public static float[] ExpectedEmbedding(IReadOnlyList<int> tokens, EmbeddingPooling pooling, bool normalize, int adapter = -1)
    {
        int first = pooling == EmbeddingPooling.Mean ? 0 : tokens.Count - 1;
        double[] mean = new double[Hidden];
        for (int last = first; last < tokens.Count; last++)
        {
            float[] row = ExpectedHidden(tokens.Take(last + 1), adapter);
            for (int i = 0; i < Hidden; i++)
            {
                mean[i] += row[i] / (double)(tokens.Count - first);
            }
        }

        double length = normalize ? Math.Sqrt(mean.Sum(value => value * value)) : 1;
        return Array.ConvertAll(mean, value => (float)(value / length));
    }

    /// <summary>An adapter changes what every token means: the logits after the same tokens are others.</summary>
    private static ulong Start(int adapter) => adapter < 0 ? 0 : Mix((ulong)adapter + 1000);

    private bool SetOpen()
    {
        _gate.Set();
        return true;
    }

    private ref (int Token, int Position, int Adapter) Slot(PackedStep step, int sequence, int position)
    {
        int page = step.BlockTable[(sequence * step.Blocks) + (position / _pageSize)];
        if ((uint)page >= (uint)(_cache.Length / _pageSize))
        {
            Assert.Fail($"position {position} has page {page}");
        }

        return ref _cache[(page * _pageSize) + (position % _pageSize)];
    }

    public static float[] Row(ulong hash)
    {
        float[] row = new float[Vocabulary];
        for (int id = 0; id < Vocabulary; id++)
        {
            row[id] = (Mix(hash ^ ((ulong)id * 0x9E3779B97F4A7C15UL)) >> 40) * (4f / (1 << 24));
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
        [Bits(hash & 0xFFFFFF), Bits((hash >> 24) & 0xFFFFFF), Bits(hash >> 48), Bits(Mix(hash + 1) >> 40), Bits(Mix(hash + 2) >> 40)];

    /// <summary>The hash in a hidden state.</summary>
    public static ulong HashOf(ReadOnlySpan<float> hidden) => Bits(hidden[0]) | (Bits(hidden[1]) << 24) | (Bits(hidden[2]) << 48);

    /// <summary>The hash after one more token.</summary>
    public static ulong Next(ulong hash, int token) => Mix(hash + (ulong)token + 1);

    private static float Bits(ulong value) => ((long)value - (1 << 23)) * (1f / (1 << 23));

    private static ulong Bits(float value) => (ulong)((long)(value * (1 << 23)) + (1 << 23));

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9UL;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EBUL;
        return value ^ (value >> 31);
    }
}
