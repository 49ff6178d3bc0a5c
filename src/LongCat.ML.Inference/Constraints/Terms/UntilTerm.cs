namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>Any bytes up to and with a mark, of which some bytes were just read (Knuth, Morris, Pratt, 1977), then a term.</summary>
internal sealed class UntilTerm(TermPool pool, byte[] mark, int matched, Term then) : Term(pool, nullable: false)
{
    protected override Term Derive(byte value)
    {
        // The longest beginning of the mark that ends what was read; marks are short, so nothing is tabulated.
        byte[] read = [.. mark.AsSpan(0, matched), value];
        int length = read.Length;
        while (!read.AsSpan(read.Length - length).SequenceEqual(mark.AsSpan(0, length)))
        {
            length--;
        }

        return length == mark.Length ? then : Pool.Until(mark, length, then);
    }
}
