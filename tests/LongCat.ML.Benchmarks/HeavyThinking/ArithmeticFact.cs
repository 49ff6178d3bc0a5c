namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>A step of a sum: what the last digit becomes. There are 180.</summary>
/// <param name="Total">The last digit before.</param>
/// <param name="Adds">Whether the number is added, else it is taken away.</param>
/// <param name="Number">The number, 1 to 9.</param>
internal readonly record struct ArithmeticFact(int Total, bool Adds, int Number)
{
    public char Sign => Adds ? '+' : '-';

    /// <summary>The last digit after it.</summary>
    public int Result => (Total + (Adds ? Number : 10 - Number)) % 10;

    /// <summary>The step that leads to the same last digit: <c>-3</c> for <c>+7</c>.</summary>
    public ArithmeticFact OtherWay => new(Total, !Adds, 10 - Number);
}
