using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>
/// For each number of characters read, the states between characters from which a text within the bounds can still end. Row k is what leads to row k + 1, with the accepting states where k is a length that is allowed;
/// such rows repeat sooner or later, mostly at once, so large bounds cost what the automaton's own size does.
/// </summary>
internal sealed class LengthTable
{
    private readonly int[] _places;
    private readonly int _least;
    private readonly int? _most;
    private readonly Orbit _within, _below;

    /// <param name="pool">Whose limit the rows count against.</param>
    /// <param name="between">The states between characters.</param>
    /// <param name="accepts">The states in which a text may end, whatever its length.</param>
    /// <param name="ends">For each state those that one character leads to.</param>
    /// <param name="least">Characters at least.</param>
    /// <param name="most">Characters at most; null for any number.</param>
    /// <exception cref="InferenceException">It takes more rows than the pool's limit.</exception>
    public LengthTable(TermPool pool, bool[] between, bool[] accepts, IReadOnlyList<int[]> ends, int least, int? most)
    {
        (_least, _most) = (least, most);
        int[] states = [.. Enumerable.Range(0, between.Length).Where(state => between[state])];
        _places = new int[between.Length];
        for (int i = 0; i < states.Length; i++)
        {
            _places[states[i]] = i;
        }

        int[][] after = [.. states.Select(state => ends[state].Select(end => _places[end]).ToArray())];
        int steps = 1 + (int)(after.Sum(list => (long)list.Length) / 256);
        ulong[] last = Row(states.Length, i => accepts[states[i]]);

        // Without an upper bound whatever can end at all can end; with one, from it down.
        _within = most is { } bound
            ? new Orbit(last, Math.Max(0, bound - least), row => Before(row, last))
            : new Orbit(Alive(after, last), 0, row => row);
        _below = new Orbit(_within[most is { } highest ? Math.Max(0, highest - least) : 0], least, row => Before(row, null));

        ulong[] Before(ulong[] row, ulong[]? also)
        {
            pool.Charge(steps);
            return Row(after.Length, i => (also is not null && Has(also, i)) || Array.Exists(after[i], next => Has(row, next)));
        }
    }

    /// <summary>Whether a text can end from a state between characters, after no more characters than the upper bound.</summary>
    public bool CanEnd(int state, int count) =>
        Has(count >= _least ? _within[_most is { } most ? most - count : 0] : _below[_least - count], _places[state]);

    private static ulong[] Row(int length, Func<int, bool> bit)
    {
        ulong[] row = new ulong[(length + 63) / 64];
        for (int i = 0; i < length; i++)
        {
            row[i >> 6] |= (bit(i) ? 1UL : 0) << (i & 63);
        }

        return row;
    }

    private static bool Has(ulong[] row, int i) => (row[i >> 6] >> (i & 63) & 1) != 0;

    /// <summary>The states from which an accepting one is reached.</summary>
    private static ulong[] Alive(int[][] after, ulong[] accepts)
    {
        bool[] alive = [.. after.Select((_, i) => Has(accepts, i))];
        for (bool changed = true; changed;)
        {
            // States were found in the order of texts, so those behind are known first.
            changed = false;
            for (int i = after.Length - 1; i >= 0; i--)
            {
                if (!alive[i] && Array.Exists(after[i], next => alive[next]))
                {
                    alive[i] = changed = true;
                }
            }
        }

        return Row(alive.Length, i => alive[i]);
    }

    /// <summary>Rows of which each follows from the one before, kept up to where they repeat.</summary>
    private sealed class Orbit
    {
        private readonly List<ulong[]> _rows;
        private readonly int _from;

        public Orbit(ulong[] first, int steps, Func<ulong[], ulong[]> next)
        {
            _rows = [first];
            Dictionary<string, int> known = new(StringComparer.Ordinal) { [Key(first)] = 0 };
            for (int step = 0; step < steps; step++)
            {
                ulong[] row = next(_rows[^1]);
                if (!known.TryAdd(Key(row), _rows.Count))
                {
                    _from = known[Key(row)];
                    return;
                }

                _rows.Add(row);
            }
        }

        public ulong[] this[int step] => _rows[step < _rows.Count ? step : _from + ((step - _from) % (_rows.Count - _from))];

        private static string Key(ulong[] row) => new(MemoryMarshal.Cast<ulong, char>(row));
    }
}
