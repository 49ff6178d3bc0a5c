using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>
/// A head for the toy model: it goes on from the hash in the hidden state, so it knows exactly what the model will say as long as hidden states and tokens belong together. Checks its pages
/// as the model does. One position in <paramref name="wrongEvery"/> it is wrong on purpose.
/// </summary>
internal sealed class ToyHead(int pages, int pageSize, int maxTokens, int wrongEvery) : IDraftHead
{
    private readonly (int Position, int Adapter)[] _cache = new (int, int)[pages * pageSize];
    private readonly float[] _input = new float[maxTokens * ToyModel.Hidden];
    private readonly List<float[]> _output = [];
    private readonly List<float[]> _rows = [];

    public int HiddenSize => ToyModel.Hidden;

    /// <summary>The most tokens of a run.</summary>
    public int LargestRun { get; private set; }

    public bool Disposed { get; private set; }

    public Span<float> HiddenInput(int token) => _input.AsSpan(token * ToyModel.Hidden, ToyModel.Hidden);

    public void Run(PackedStep step)
    {
        LargestRun = Math.Max(LargestRun, step.Tokens);
        _output.Clear();
        _rows.Clear();
        HashSet<int> written = [];
        for (int s = 0; s < step.Sequences; s++)
        {
            int start = step.QueryStart[s];
            int end = step.QueryStart[s + 1];
            for (int t = start; t < end; t++)
            {
                int position = (int)step.PositionIds[t];
                Assert.Equal(step.ContextLength[s] - end + t, position);
                int slot = Slot(step, s, position);
                Assert.True(written.Add(slot), "written twice in a step");
                _cache[slot] = (position, step.RowAdapter[t]);
                ulong hash = ToyModel.Next(ToyModel.HashOf(HiddenInput(t)), (int)step.InputIds[t]);
                _output.Add(ToyModel.HiddenRow(hash));
                if (_rows.Count < step.Rows && step.LogitsIndex[_rows.Count] == t)
                {
                    float[] row = ToyModel.Row(hash);
                    _rows.Add(wrongEvery > 0 && hash % (ulong)wrongEvery == 0 ? [.. row.Select(value => -value)] : row);
                }
            }

            for (int position = 0; position < step.ContextLength[s]; position++)
            {
                Assert.Equal((position, step.RowAdapter[start]), _cache[Slot(step, s, position)]);
            }
        }

        Assert.Equal(step.Rows, _rows.Count);
    }

    public ReadOnlySpan<float> Logits(int row) => _rows[row];

    public ReadOnlySpan<float> HiddenOutput(int token) => _output[token];

    public void Abort()
    {
    }

    public void Dispose() => Disposed = true;

    private int Slot(PackedStep step, int sequence, int position) =>
        (step.BlockTable[(sequence * step.Blocks) + (position / pageSize)] * pageSize) + (position % pageSize);
}
