namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>No string at all.</summary>
internal sealed class FailTerm(TermPool pool) : Term(pool, nullable: false)
{
    protected override Term Derive(byte value) => this;
}

/// <summary>The empty string.</summary>
internal sealed class EmptyTerm(TermPool pool) : Term(pool, nullable: true)
{
    protected override Term Derive(byte value) => Pool.Fail;
}

/// <summary>One byte of a set.</summary>
internal sealed class BytesTerm(TermPool pool, ByteSet set) : Term(pool, nullable: false)
{
    protected override Term Derive(byte value) => set.Contains(value) ? Pool.Empty : Pool.Fail;
}

/// <summary>One term after another; the first is no sequence itself.</summary>
internal sealed class SequenceTerm(TermPool pool, Term first, Term then) : Term(pool, first.Nullable && then.Nullable)
{
    public Term First => first;

    public Term Then => then;

    protected override Term Derive(byte value)
    {
        Term rest = Pool.Sequence(first.Next(value), then);
        return first.Nullable ? Pool.Choice(rest, then.Next(value)) : rest;
    }
}

/// <summary>One of several terms, none of which is a choice itself.</summary>
internal sealed class ChoiceTerm(TermPool pool, Term[] options) : Term(pool, options.Any(option => option.Nullable))
{
    public Term[] Options => options;

    protected override Term Derive(byte value) => Pool.Choice(options.Select(option => option.Next(value)));
}

/// <summary>A term again and again; it does not contain the empty string.</summary>
internal sealed class RepeatTerm(TermPool pool, Term term, int least, int? most) : Term(pool, least == 0)
{
    protected override Term Derive(byte value) => Pool.Sequence(term.Next(value), Pool.Repeat(term, Math.Max(0, least - 1), most - 1));
}
