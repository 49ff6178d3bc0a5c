namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>Any bytes up to and with a mark, of which some bytes were just read (Knuth, Morris, Pratt, 1977), then a term.</summary>
/// <param name="pool">The pool.</param>
/// <param name="mark">The mark's bytes.</param>
/// <param name="matched">How many of them were read.</param>
/// <param name="token">The one added token that may stand in the text, which ends it; null where all may, as their own text.</param>
/// <param name="then">What follows the mark.</param>
internal sealed class UntilTerm(TermPool pool, byte[] mark, int matched, int? token, Term then) : Term(pool, nullable: false)
{
    public override bool TakesMarks => true;

    protected override Term Derive(byte value)
    {
        // The longest beginning of the mark that ends what was read; marks are short, so nothing is tabulated.
        byte[] read = [.. mark.AsSpan(0, matched), value];
        int length = read.Length;
        while (!read.AsSpan(read.Length - length).SequenceEqual(mark.AsSpan(0, length)))
        {
            length--;
        }

        return length == mark.Length ? then : Pool.Until(mark, length, token, then);
    }

    protected override Term DeriveMark(int id, ReadOnlySpan<byte> bytes)
    {
        if (token is { } only)
        {
            return id == only ? then : Pool.Fail;
        }

        Term state = this;
        foreach (byte value in bytes)
        {
            state = state.Next(value);
        }

        return state;
    }
}
