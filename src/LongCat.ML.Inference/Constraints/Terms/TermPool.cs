using System.Globalization;
using System.Text;

namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>
/// Makes terms, each only once, in a normal form: no alternative among alternatives, sequences nested to the right, nothing that cannot be completed inside anything. So a term that is
/// not <see cref="Fail"/> always has a completion. Not thread-safe: its automaton locks.
/// </summary>
internal sealed class TermPool
{
    private readonly Dictionary<string, Term> _terms = new(StringComparer.Ordinal);
    private int _ids;
    private int _charged;

    public TermPool()
    {
        Fail = new FailTerm(this);
        Empty = new EmptyTerm(this);
    }

    /// <summary>No string at all.</summary>
    public Term Fail { get; }

    /// <summary>The empty string only.</summary>
    public Term Empty { get; }

    public int Count => _terms.Count;

    /// <summary>How many terms may be made while a schema is compiled; states that are met later are bounded by the automaton.</summary>
    public int Limit
    {
        get;
        set => (field, _charged) = (value, 0);
    } = int.MaxValue;

    public int NextId() => _ids++;

    /// <summary>Forgets which terms exist. Those in use go on working; terms made later are other objects.</summary>
    public void Clear()
    {
        foreach (Term term in _terms.Values)
        {
            term.Forget();
        }

        _terms.Clear();
    }

    public Term Byte(byte value) => Bytes(value, value);

    /// <summary>One byte of a range.</summary>
    public Term Bytes(byte first, byte last) => Bytes(ByteSet.Range(first, last));

    public Term Bytes(ByteSet set) => set.IsEmpty ? Fail : Intern($"b{set}", () => new BytesTerm(this, set));

    /// <summary>One of some ASCII characters.</summary>
    public Term AnyOf(string characters) => Bytes(ByteSet.Of(characters));

    /// <summary>A text as it stands, in UTF-8.</summary>
    public Term Literal(string text) => Encoding.UTF8.GetBytes(text).Reverse().Aggregate(Empty, (rest, value) => Sequence(Byte(value), rest));

    public Term Sequence(params ReadOnlySpan<Term> parts)
    {
        Term result = Empty;
        for (int i = parts.Length - 1; i >= 0; i--)
        {
            result = Pair(parts[i], result);
        }

        return result;
    }

    public Term Choice(params IEnumerable<Term> options)
    {
        SortedDictionary<int, Term> distinct = [];
        foreach (Term option in options)
        {
            foreach (Term part in option is ChoiceTerm choice ? choice.Options : [option])
            {
                distinct[part.Id] = part;
            }
        }

        distinct.Remove(Fail.Id);
        return distinct.Count switch
        {
            0 => Fail,
            1 => distinct.Values.First(),
            _ => Intern($"c{string.Join(',', distinct.Keys)}", () => new ChoiceTerm(this, [.. distinct.Values])),
        };
    }

    public Term Optional(Term term) => Choice(Empty, term);

    /// <summary>From <paramref name="least"/> to <paramref name="most"/> repetitions (null for any number) of a term that does not contain the empty string.</summary>
    public Term Repeat(Term term, int least, int? most)
    {
        if (most < least)
        {
            return Fail;
        }

        return most == 0 || term == Empty ? Empty
            : term == Fail ? (least == 0 ? Empty : Fail)
            : Intern(string.Create(CultureInfo.InvariantCulture, $"r{term.Id},{least},{most}"), () => new RepeatTerm(this, term, least, most));
    }

    /// <summary>Texts of whole characters that all terms hold, with a number of characters within bounds.</summary>
    /// <param name="terms">The terms.</param>
    /// <param name="character">Any character; none is the beginning of another.</param>
    /// <param name="least">Characters at least.</param>
    /// <param name="most">Characters at most; null for any number.</param>
    public Term Intersection(IReadOnlyList<Term> terms, Term character, int least, int? most) => most < least || terms.Contains(Fail)
        ? Fail
        : Intersection(new IntersectionAutomaton(this, terms, character, least, most), state: 0, count: 0);

    /// <summary>The rest of a text of an intersection, of which so many whole characters were read.</summary>
    public Term Intersection(IntersectionAutomaton automaton, int state, int count)
    {
        int same = automaton.Same(count);
        return automaton.CanEnd(state, same)
            ? Intern(string.Create(CultureInfo.InvariantCulture, $"i{automaton.Id},{state},{same}"), () => new IntersectionTerm(this, automaton, state, same))
            : Fail;
    }

    /// <summary>Counts states that are made apart from terms against the limit.</summary>
    public void Charge(int states)
    {
        _charged += states;
        Check();
    }

    /// <summary>A whole number's digits, without a sign, from <paramref name="least"/> to <paramref name="most"/>.</summary>
    public Term Digits(long least, long most) => Digits(new DigitRange(least, most, 1, 0));

    /// <summary>The digits of numbers, without a sign.</summary>
    public Term Digits(DigitRange range) => Digits(range, value: null, decimals: null);

    /// <summary>The rest of a number's digits.</summary>
    /// <param name="range">The numbers.</param>
    /// <param name="value">What the digits that were read make, the point left out; null before the first.</param>
    /// <param name="decimals">How many of them stand behind the point; null where no point was read.</param>
    public Term Digits(DigitRange range, long? value, int? decimals) => range.CanReach(value, decimals)
        ? Intern(string.Create(CultureInfo.InvariantCulture, $"d{range.Least},{range.Most},{range.Step},{range.Places},{value},{decimals}"), () => new DigitsTerm(this, range, value, decimals))
        : Fail;

    /// <summary>One added token.</summary>
    public Term Mark(int token) => Intern(string.Create(CultureInfo.InvariantCulture, $"m{token}"), () => new MarkTerm(this, token));

    /// <summary>The strings of a term but some. There are others: the term holds infinitely many.</summary>
    public Term Except(Term term, IReadOnlyList<byte[]> strings)
    {
        if (strings.Count == 0 || term == Fail)
        {
            return term;
        }

        string key = string.Join(',', strings.Select(System.Convert.ToHexString).Order(StringComparer.Ordinal));
        return Intern($"e{term.Id},{key}", () => new ExceptTerm(this, term, strings));
    }

    /// <summary>Any bytes up to a mark, then a term.</summary>
    /// <param name="mark">The mark's bytes.</param>
    /// <param name="matched">How many of them were read.</param>
    /// <param name="token">The one added token that may stand in the text, which ends it; null where all may, as their own text.</param>
    /// <param name="then">What follows the mark.</param>
    public Term Until(byte[] mark, int matched, int? token, Term then) => then == Fail
        ? Fail
        : Intern(string.Create(CultureInfo.InvariantCulture, $"u{System.Convert.ToHexString(mark)},{matched},{token},{then.Id}"), () => new UntilTerm(this, mark, matched, token, then));

    private Term Pair(Term first, Term then)
    {
        if (first == Fail || then == Fail)
        {
            return Fail;
        }

        // Sequences to the right of each other, without recursion: a text of a schema may be long.
        List<Term> parts = [];
        while (first is SequenceTerm pair)
        {
            parts.Add(pair.First);
            first = pair.Then;
        }

        Term result = Link(first, then);
        for (int i = parts.Count - 1; i >= 0; i--)
        {
            result = Link(parts[i], result);
        }

        return result;
    }

    private Term Link(Term first, Term then) => first == Empty ? then
        : then == Empty ? first
        : Intern($"s{first.Id},{then.Id}", () => new SequenceTerm(this, first, then));

    private Term Intern(string key, Func<Term> make)
    {
        if (!_terms.TryGetValue(key, out Term? term))
        {
            Check();
            _terms[key] = term = make();
        }

        return term;
    }

    private void Check()
    {
        if (_terms.Count + _charged >= Limit)
        {
            throw new InferenceException($"the schema is too large: it takes more than {Limit} states. Write a smaller one, or ask for parts of it one after another.");
        }
    }
}
