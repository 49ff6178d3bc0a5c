using System.Globalization;

namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>
/// The texts that are in several terms at once and have a number of characters within bounds. Its states are those of the product of the terms (Rabin, Scott, Finite Automata and Their Decision Problems, IBM J. 3(2),
/// 1959), all of them made at once: an intersection may be empty though none of its terms is, and only who knows what follows can say so. Which numbers of characters still lead to an end is
/// in a <see cref="LengthTable"/>.
/// </summary>
internal sealed class IntersectionAutomaton
{
    /// <summary>What a state counts against the limit: all that may follow it is derived at once.</summary>
    private const int Cost = 8;

    private readonly ByteClasses _classes;
    private readonly List<int> _next = [];
    private readonly bool[] _between, _accepts;
    private readonly int[]?[] _ends;
    private readonly LengthTable _lengths;
    private readonly int _least;
    private readonly int? _most;

    /// <param name="pool">Where the terms are from; the states count against its limit.</param>
    /// <param name="terms">The terms: texts of whole characters.</param>
    /// <param name="character">Any character; none is the beginning of another.</param>
    /// <param name="least">Characters at least.</param>
    /// <param name="most">Characters at most; null for any number.</param>
    /// <exception cref="InferenceException">It takes more states than the pool's limit.</exception>
    public IntersectionAutomaton(TermPool pool, IReadOnlyList<Term> terms, Term character, int least, int? most)
    {
        (Id, _least, _most) = (pool.NextId(), least, most);

        // The last of a state's terms follows the characters: it is at an end where one is.
        List<Term[]> states = [[.. terms, pool.Repeat(character, 0, null)]];
        _classes = ByteClasses.Of(states[0]);
        byte[] bytes = _classes.Representatives();
        Dictionary<string, int> places = new(StringComparer.Ordinal) { [Key(states[0])] = 0 };
        for (int i = 0; i < states.Count; i++)
        {
            pool.Charge(Cost);
            foreach (byte value in bytes)
            {
                Term[] next = [.. states[i].Select(term => term.Next(value))];
                if (next.Any(term => term is FailTerm))
                {
                    _next.Add(-1);
                    continue;
                }

                if (!places.TryGetValue(Key(next), out int place))
                {
                    places[Key(next)] = place = states.Count;
                    states.Add(next);
                }

                _next.Add(place);
            }
        }

        _between = [.. states.Select(state => state[^1].Nullable)];
        _accepts = [.. states.Select(state => state.All(term => term.Nullable))];
        _ends = new int[]?[states.Count];
        for (int i = 0; i < states.Count; i++)
        {
            Ends(i);
        }

        _lengths = new LengthTable(pool, _between, _accepts, _ends!, least, most);

        static string Key(Term[] state) => string.Join(',', state.Select(term => term.Id.ToString(CultureInfo.InvariantCulture)));
    }

    /// <summary>Tells automata of a pool apart.</summary>
    public int Id { get; }

    /// <summary>The state after a byte; -1 where it cannot come.</summary>
    public int Next(int state, byte value) => _next[(state * _classes.Count) + _classes[value]];

    /// <summary>Whether a state is between characters.</summary>
    public bool IsBetween(int state) => _between[state];

    /// <summary>Whether the text may end in a state, after so many whole characters.</summary>
    public bool Accepts(int state, int count) => _accepts[state] && count >= _least && !(count > _most);

    /// <summary>Whether some text goes on from a state to an end.</summary>
    public bool CanEnd(int state, int count) => _between[state]
        ? !(count > _most) && _lengths.CanEnd(state, count)
        : !(count + 1 > _most) && _ends[state]!.Any(end => _lengths.CanEnd(end, count + 1));

    /// <summary>The number of characters that stands for one and all larger ones from which nothing differs.</summary>
    public int Same(int count) => _most is null ? Math.Min(count, _least) : count;

    /// <summary>The states in which the character that begins in a state, or goes on there, can end. Characters have few bytes, so this is not deep.</summary>
    private int[] Ends(int state) => _ends[state] ??=
    [
        .. Enumerable.Range(state * _classes.Count, _classes.Count).Select(entry => _next[entry]).Where(next => next >= 0).Distinct()
            .SelectMany(next => _between[next] ? [next] : Ends(next)).Distinct(),
    ];
}
