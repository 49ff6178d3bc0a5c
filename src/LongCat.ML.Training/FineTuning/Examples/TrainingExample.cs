namespace LongCat.ML.Training.FineTuning;

/// <summary>One example as token ids, with the tokens that the model should learn to say.</summary>
/// <param name="Ids">The ids, begin- and end-of-sequence tokens included; at least two.</param>
/// <param name="Trainable">For each id whether the loss counts it as a target. The first one never is a target, whatever it says.</param>
public sealed record TrainingExample(int[] Ids, bool[] Trainable)
{
    /// <summary>Where the example comes from: the line of a file or the row of a view, from 1; 0 when unknown. Errors name it.</summary>
    public long Source { get; init; }

    /// <summary>How many targets the loss counts.</summary>
    public int TrainableTokens => Trainable.Skip(1).Count(trainable => trainable);

    /// <summary>
    /// The example cut to a length. Where only its end is trained (a prompt with its completion), the prompt loses its oldest tokens behind the begin token; otherwise the end is cut off.
    /// </summary>
    /// <param name="length">The most tokens, 2 or more.</param>
    /// <returns>The example itself when it fits.</returns>
    public TrainingExample Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 2);
        if (Ids.Length <= length)
        {
            return this;
        }

        int first = Array.IndexOf(Trainable, true, 1);
        bool onlyTheEnd = first > 0 && Array.IndexOf(Trainable, false, first) < 0;

        // One token of the prompt stays besides the first, so that the completion keeps what it follows.
        int droppable = onlyTheEnd ? Math.Min(Ids.Length - length, Math.Max(0, first - 2)) : 0;
        int[] ids = [Ids[0], .. Ids[(1 + droppable)..]];
        bool[] trainable = [Trainable[0], .. Trainable[(1 + droppable)..]];
        return this with { Ids = ids[..Math.Min(length, ids.Length)], Trainable = trainable[..Math.Min(length, ids.Length)] };
    }
}
