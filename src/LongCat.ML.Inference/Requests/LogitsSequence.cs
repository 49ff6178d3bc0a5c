using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Requests;

/// <summary>A text whose logits are wanted at every position.</summary>
internal sealed class LogitsSequence(IReadOnlyList<int> ids, int vocabSize, TaskCompletionSource<float[]> task, int adapter, CancellationToken cancellationToken)
    : Sequence(ids, ids.Count, adapter)
{
    private readonly float[] _logits = new float[checked(ids.Count * vocabSize)];
    private int _rows;

    public override int Target => Tokens.Count;

    public override int NextRow => _rows;

    public override int MaxCachedTokens => Tokens.Count;

    public override bool Accept(int position, ReadOnlySpan<float> row)
    {
        row.CopyTo(_logits.AsSpan(position * vocabSize, vocabSize));
        return ++_rows == Tokens.Count;
    }

    public override void Complete() => task.TrySetResult(_logits);

    public override void Cancel() => task.TrySetCanceled(cancellationToken);

    public override void Fail(Exception exception) => task.TrySetException(exception);
}
