namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>No string at all.</summary>
internal sealed class FailTerm(TermPool pool) : Term(pool, nullable: false)
{
    public override void Separate(ByteClasses classes)
    {
    }

    protected override Term Derive(byte value) => this;
}

/// <summary>The empty string.</summary>
internal sealed class EmptyTerm(TermPool pool) : Term(pool, nullable: true)
{
    public override void Separate(ByteClasses classes)
    {
    }

    protected override Term Derive(byte value) => Pool.Fail;
}

/// <summary>One byte of a set.</summary>
internal sealed class BytesTerm(TermPool pool, ByteSet set) : Term(pool, nullable: false)
{
    public override void Separate(ByteClasses classes) => classes.Split(set);

    protected override Term Derive(byte value) => set.Contains(value) ? Pool.Empty : Pool.Fail;
}

/// <summary>One term after another; the first is no sequence itself.</summary>
internal sealed class SequenceTerm(TermPool pool, Term first, Term then) : Term(pool, first.Nullable && then.Nullable)
{
    public Term First => first;

    public Term Then => then;

    public override bool TakesMarks => first.TakesMarks || (first.Nullable && then.TakesMarks);

    public override void Separate(ByteClasses classes)
    {
        classes.Add(first);
        classes.Add(then);
    }

    protected override Term Derive(byte value)
    {
        Term rest = Pool.Sequence(first.Next(value), then);
        return first.Nullable ? Pool.Choice(rest, then.Next(value)) : rest;
    }

    protected override Term DeriveMark(int id, ReadOnlySpan<byte> bytes)
    {
        Term rest = Pool.Sequence(first.NextMark(id, bytes), then);
        return first.Nullable ? Pool.Choice(rest, then.NextMark(id, bytes)) : rest;
    }
}

/// <summary>One of several terms, none of which is a choice itself.</summary>
internal sealed class ChoiceTerm(TermPool pool, Term[] options) : Term(pool, options.Any(option => option.Nullable))
{
    public Term[] Options => options;

    public override bool TakesMarks { get; } = options.Any(option => option.TakesMarks);

    public override void Separate(ByteClasses classes)
    {
        foreach (Term option in options)
        {
            classes.Add(option);
        }
    }

    protected override Term Derive(byte value) => Pool.Choice(options.Select(option => option.Next(value)));

    protected override Term DeriveMark(int id, ReadOnlySpan<byte> bytes)
    {
        List<Term> next = [];
        foreach (Term option in options)
        {
            next.Add(option.NextMark(id, bytes));
        }

        return Pool.Choice(next);
    }
}

/// <summary>A term again and again; it does not contain the empty string.</summary>
internal sealed class RepeatTerm(TermPool pool, Term term, int least, int? most) : Term(pool, least == 0)
{
    public override bool TakesMarks => term.TakesMarks;

    private Term Rest => Pool.Repeat(term, Math.Max(0, least - 1), most - 1);

    public override void Separate(ByteClasses classes) => classes.Add(term);

    protected override Term Derive(byte value) => Pool.Sequence(term.Next(value), Rest);

    protected override Term DeriveMark(int id, ReadOnlySpan<byte> bytes) => Pool.Sequence(term.NextMark(id, bytes), Rest);
}

/// <summary>One added token: a mark of the format around text.</summary>
internal sealed class MarkTerm(TermPool pool, int token) : Term(pool, nullable: false)
{
    public override bool TakesMarks => true;

    protected override Term Derive(byte value) => Pool.Fail;

    protected override Term DeriveMark(int id, ReadOnlySpan<byte> bytes) => id == token ? Pool.Empty : Pool.Fail;
}
