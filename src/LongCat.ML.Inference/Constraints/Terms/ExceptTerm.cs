namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The strings of a term without some of them: keys of an object that no declared property has.</summary>
internal sealed class ExceptTerm(TermPool pool, Term term, IReadOnlyList<byte[]> strings) : Term(pool, term.Nullable && !strings.Any(text => text.Length == 0))
{
    public override void Separate(ByteClasses classes)
    {
        classes.Add(term);
        foreach (byte value in strings.SelectMany(text => text))
        {
            classes.Split(ByteSet.Range(value, value));
        }
    }

    protected override Term Derive(byte value) =>
        Pool.Except(term.Next(value), [.. strings.Where(text => text.Length > 0 && text[0] == value).Select(text => text[1..])]);
}
