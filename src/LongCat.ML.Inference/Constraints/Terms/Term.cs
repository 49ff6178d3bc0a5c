namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>
/// A set of byte strings, never the empty set except <see cref="FailTerm"/>, and at the same time a state of the automaton that accepts it: what may follow a byte is another term
/// (Brzozowski, Derivatives of Regular Expressions, J. ACM 11(4), 1964). Equal terms of one pool are one object.
/// </summary>
internal abstract class Term(TermPool pool, bool nullable)
{
    private Term?[]? _next;
    private bool? _final;
    private Dictionary<int, Term>? _marks;

    /// <summary>Place in the pool; makes the order of alternatives one and the same.</summary>
    public int Id { get; } = pool.NextId();

    /// <summary>Whether the empty string is in the set: the text may end here.</summary>
    public bool Nullable { get; } = nullable;

    /// <summary>Which tokens may follow, one bit for each id; null while nobody asked.</summary>
    public ulong[]? Mask { get; set; }

    /// <summary>Whether the text must end here.</summary>
    public bool Final => _final ??= Nullable && !TakesMarks && Enumerable.Range(0, 256).All(value => Next((byte)value) is FailTerm);

    /// <summary>Whether some added token may follow.</summary>
    public virtual bool TakesMarks => false;

    protected TermPool Pool { get; } = pool;

    /// <summary>What may follow once a byte was read; <see cref="FailTerm"/> where the byte cannot come.</summary>
    public Term Next(byte value) => (_next ??= new Term?[256])[value] ??= Derive(value);

    /// <summary>What may follow once an added token was read: a mark of the format around text, which is never spelled by other tokens.</summary>
    /// <param name="id">The token.</param>
    /// <param name="bytes">Its text, which counts where any text may stand.</param>
    public Term NextMark(int id, ReadOnlySpan<byte> bytes)
    {
        if (!TakesMarks)
        {
            return Pool.Fail;
        }

        if (!(_marks ??= []).TryGetValue(id, out Term? next))
        {
            _marks[id] = next = DeriveMark(id, bytes);
        }

        return next;
    }

    /// <summary>Tells classes of bytes apart that the term tells apart, and adds the terms that it is made of. Those that its derivatives are made of must be among them.</summary>
    public virtual void Separate(ByteClasses classes) => classes.SplitAll();

    /// <summary>Gives the memory of derived values back; they are computed again when needed.</summary>
    public void Forget() => (_next, _marks, Mask) = (null, null, null);

    protected abstract Term Derive(byte value);

    protected virtual Term DeriveMark(int id, ReadOnlySpan<byte> bytes) => Pool.Fail;
}
