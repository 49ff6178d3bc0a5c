namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>
/// Bytes in classes of which some terms, and whatever follows in them, tell no two apart: one byte of each class says what all do (Owens, Reppy, Turon, Regular-expression derivatives re-examined, J. Functional
/// Programming 19(2), 2009, section 4.2; one partition for all states here).
/// </summary>
internal sealed class ByteClasses
{
    private readonly int[] _classes = new int[256];
    private readonly HashSet<Term> _seen = [];
    private readonly Stack<Term> _open = [];

    private ByteClasses()
    {
    }

    /// <summary>How many there are.</summary>
    public int Count { get; private set; } = 1;

    /// <summary>The class of a byte.</summary>
    public int this[byte value] => _classes[value];

    /// <summary>The classes of some terms.</summary>
    public static ByteClasses Of(IEnumerable<Term> terms)
    {
        ByteClasses classes = new();
        foreach (Term term in terms)
        {
            classes.Add(term);
        }

        // A stack of its own: a text of a schema may be long.
        while (classes._open.TryPop(out Term? term))
        {
            term.Separate(classes);
        }

        return classes;
    }

    /// <summary>One byte of each class, in the order of the classes.</summary>
    public byte[] Representatives() => [.. Enumerable.Range(0, Count).Select(name => (byte)System.Array.IndexOf(_classes, name))];

    /// <summary>Adds a part of a term.</summary>
    public void Add(Term term)
    {
        if (_seen.Add(term))
        {
            _open.Push(term);
        }
    }

    /// <summary>Tells the bytes of a set from the others.</summary>
    public void Split(ByteSet set)
    {
        Dictionary<(int, bool), int> names = [];
        for (int value = 0; value < _classes.Length; value++)
        {
            (int, bool) part = (_classes[value], set.Contains((byte)value));
            if (!names.TryGetValue(part, out int name))
            {
                names[part] = name = names.Count;
            }

            _classes[value] = name;
        }

        Count = names.Count;
    }

    /// <summary>Tells every byte from every other.</summary>
    public void SplitAll()
    {
        for (int value = 0; value < _classes.Length; value++)
        {
            _classes[value] = value;
        }

        Count = _classes.Length;
    }
}
