using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Requests;

/// <summary>
/// A text whose hidden states are being pooled. The mean needs the state of every token, so it takes no pages that another request computed
/// (its <see cref="NextRow"/> is 0); what it computed itself serves others, and itself after a preemption. The last token's state needs nothing but the last token.
/// </summary>
internal sealed class EmbeddingSequence(
    IReadOnlyList<int> ids,
    EmbeddingPooling pooling,
    bool normalize,
    int hiddenSize,
    TaskCompletionSource<EmbeddingResult> task,
    int adapter,
    CancellationToken cancellationToken)
    : Sequence(ids, ids.Count, adapter)
{
    // Summed in double precision and in the order of the positions: neither the chunks nor the company of the steps show in the result.
    private readonly double[] _sum = new double[hiddenSize];
    private int _next = pooling == EmbeddingPooling.Mean ? 0 : ids.Count - 1;
    private int _pooled;

    public override RowKind Rows => RowKind.Hidden;

    public override int Target => Tokens.Count;

    public override int NextRow => _next;

    public override int MaxCachedTokens => Tokens.Count;

    public override bool Accept(int position, ReadOnlySpan<float> row)
    {
        for (int i = 0; i < _sum.Length; i++)
        {
            _sum[i] += row[i];
        }

        _pooled++;
        return ++_next == Tokens.Count;
    }

    public override void Complete()
    {
        double divisor = _pooled;
        if (normalize)
        {
            // Scaled by the largest element first, so that no square overflows or vanishes.
            double largest = _sum.Max(Math.Abs);
            double length = largest * Math.Sqrt(_sum.Sum(value => value / largest * (value / largest)));
            divisor = length > 0 ? length : 1;
        }

        task.TrySetResult(new EmbeddingResult { Vector = Array.ConvertAll(_sum, value => (float)(value / divisor)), Tokens = Tokens.Count });
    }

    public override void Cancel() => task.TrySetCanceled(cancellationToken);

    public override void Fail(Exception exception) => task.TrySetException(exception);
}
