using LongCat.ML.Modules;

namespace LongCat.ML.Training.Data;

/// <summary>A batch and what it should predict.</summary>
/// <param name="Sequences">The tokens; disposed with the batch.</param>
/// <param name="Next">B·S targets of the main model, <see cref="NoTarget"/> where there is none.</param>
/// <param name="Second">B·S targets of the draft head (two tokens ahead), likewise.</param>
/// <param name="Tokens">Tokens that are no padding.</param>
public sealed record PackedBatch(SequenceBatch Sequences, long[] Next, long[] Second, int Tokens) : IDisposable
{
    /// <summary>The target of a position that no loss counts.</summary>
    public const long NoTarget = -100;

    /// <inheritdoc/>
    public void Dispose() => Sequences.Dispose();
}
