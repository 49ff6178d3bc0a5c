namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The strings of a term without some of them: keys of an object that no declared property has.</summary>
internal sealed class ExceptTerm(TermPool pool, Term term, IReadOnlyList<byte[]> strings) : Term(pool, term.Nullable && !strings.Any(text => text.Length == 0))
{
    protected override Term Derive(byte value) =>
        Pool.Except(term.Next(value), [.. strings.Where(text => text.Length > 0 && text[0] == value).Select(text => text[1..])]);
}
