using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Text;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>
/// A model that says what a test wants: after the last begin-of-turn token of its sequence it writes the tokens of <see cref="Reply"/>, then the end of sequence. Tokens are bytes;
/// it reads its sequence back out of a paged cache, as a real model does.
/// </summary>
internal sealed class ScriptedModel(int pages, int pageSize) : IModelRunner
{
    public const int Vocabulary = RandomCheckpoint.FirstByteToken + 256;
    public const int Turn = 6;
    private const int Hidden = 3;

    private readonly int[] _cache = new int[pages * pageSize];
    private readonly List<float[]> _rows = [];
    private readonly List<float[]> _hidden = [];

    /// <summary>What the model writes after a prompt (its text, special tokens included).</summary>
    public Func<string, string> Reply { get; set; } = _ => "";

    /// <summary>How many tokens of the model's turn the template wrote itself (the beginning of a thought): the reply goes on behind them.</summary>
    public int BegunTokens { get; set; }

    /// <summary>Puts all tokens at the same logit but one: what is drawn then depends on the seed.</summary>
    public bool Flat { get; set; }

    public HuggingFaceTokenizer Tokenizer { get; } = LoadTokenizer();

    /// <summary>Prompts seen, as text.</summary>
    public List<string> Prompts { get; } = [];

    public int VocabSize => Vocabulary;

    public int HiddenSize => Hidden;

    public IReadOnlyList<LoadedAdapter> Adapters { get; init; } = [];

    /// <summary>An engine over this model.</summary>
    public InferenceEngine Engine(int maxPositions = 4096, EngineOptions? options = null, Speculator? speculator = null)
    {
        options ??= new EngineOptions { PageSize = pageSize };
        ModelManifest manifest = new()
        {
            Architecture = "Scripted",
            Precision = WeightPrecision.F32,
            VocabSize = Vocabulary,
            HiddenSize = Hidden,
            MaxPositions = maxPositions,
            BosTokenId = RandomCheckpoint.BosTokenId,
            EosTokenIds = [RandomCheckpoint.EosTokenId],
            NgramNeighbors = 3,
            Caches = [new CacheLayout(1)],
            Files = new Dictionary<string, ManifestFile>(),
        };
        return new InferenceEngine(manifest, new TokenizerCodec(Tokenizer), this, options, new EngineCapacity(pages, Math.Min(pages, (maxPositions + pageSize - 1) / pageSize), 64), speculator);
    }

    public void Run(PackedStep step)
    {
        _rows.Clear();
        _hidden.Clear();
        int next = 0;
        for (int s = 0; s < step.Sequences; s++)
        {
            int start = step.QueryStart[s], end = step.QueryStart[s + 1], first = (int)step.PositionIds[start];
            for (int t = start; t < end; t++)
            {
                _cache[Slot(step, s, (int)step.PositionIds[t])] = (int)step.InputIds[t];
            }

            for (int t = start; t < end; t++)
            {
                int position = first + t - start;
                if (step.WantsHidden)
                {
                    _hidden.Add([(int)step.InputIds[t], position, 1]);
                }

                if (next < step.Rows && step.LogitsIndex[next] == t)
                {
                    _rows.Add(Row([.. Enumerable.Range(0, position + 1).Select(p => _cache[Slot(step, s, p)])]));
                    next++;
                }
            }
        }
    }

    public ReadOnlySpan<float> Logits(int row) => _rows[row];

    ReadOnlySpan<float> IModelRunner.Hidden(int token) => _hidden[token];

    public void Abort()
    {
    }

    public void Dispose()
    {
    }

    private float[] Row(int[] tokens)
    {
        int turn = Array.LastIndexOf(tokens, Turn);
        string prompt = Tokenizer.Decode(tokens.Take(turn + 1));
        IReadOnlyList<int> whole = Tokenizer.Encode(Reply(prompt), addSpecialTokens: false);

        int said = tokens.Length - turn - 1 - BegunTokens;
        if (said == 0)
        {
            Prompts.Add(Tokenizer.Decode(tokens));
        }

        float[] row = new float[Vocabulary];
        if (Flat)
        {
            row[RandomCheckpoint.EosTokenId] = -4;
            return row;
        }

        row[said >= 0 && said < whole.Count ? whole[said] : RandomCheckpoint.EosTokenId] = 12;
        return row;
    }

    private int Slot(PackedStep step, int sequence, int position) => (step.BlockTable[(sequence * step.Blocks) + (position / pageSize)] * pageSize) + (position % pageSize);

    private static HuggingFaceTokenizer LoadTokenizer()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["tokenizer.json"], RandomCheckpoint.Tokenizer(Vocabulary).ToJsonString());
        return HuggingFaceTokenizer.Load(folder["tokenizer.json"]);
    }
}
