using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Calibration;

/// <summary>A sequence whose tokens only run through the model: nobody waits for a row of it.</summary>
internal sealed class CalibrationSequence(int index, IReadOnlyCollection<int> tokens) : Sequence(tokens, tokens.Count, adapter: -1)
{
    /// <summary>Its place among the calibration's sequences.</summary>
    public int Index { get; } = index;

    public override int Target => Tokens.Count;

    public override int NextRow => int.MaxValue;

    public override int MaxCachedTokens => Tokens.Count;

    public override RowKind Rows => RowKind.Hidden;

    public override bool Accept(int position, ReadOnlySpan<float> row) => Computed == Target;

    public override void Complete()
    {
    }

    public override void Cancel()
    {
    }

    public override void Fail(Exception exception)
    {
    }
}
