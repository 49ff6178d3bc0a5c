using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints;

/// <summary>
/// An automaton over bytes that grows as it is used, and for each of its states the tokens that may follow: the lazily built counterpart of Willard and Louf, Efficient Guided
/// Generation for Large Language Models (2023), section 3. Thread-safe; states and masks are kept for all requests of a constraint.
/// </summary>
internal sealed class ConstraintAutomaton(TokenTable tokens, TermPool pool)
{
    /// <summary>Bytes of masks, and states, beyond which everything derived is forgotten and derived again when needed.</summary>
    private const long MostMaskBytes = 64L << 20;
    private const int MostTerms = 1 << 18;

    private readonly Lock _lock = new();
    private readonly List<Term> _masked = [];

    public TokenTable Tokens => tokens;

    /// <summary>Makes a term of this automaton.</summary>
    public Term Make(Func<TermPool, Term> make)
    {
        lock (_lock)
        {
            pool.Limit = pool.Count + MostTerms;
            try
            {
                return make(pool);
            }
            finally
            {
                pool.Limit = int.MaxValue;
            }
        }
    }

    /// <summary>One bit for each id, set where the token may follow. The ends of a text are not among them.</summary>
    public ulong[] Mask(Term state)
    {
        lock (_lock)
        {
            return state.Mask ??= Compute(state);
        }
    }

    /// <summary>The state after a token; <see cref="FailTerm"/> where it may not follow.</summary>
    public Term Advance(Term state, int id)
    {
        lock (_lock)
        {
            if ((uint)id >= (uint)tokens.Bytes.Length || tokens.Bytes[id].Length == 0)
            {
                return pool.Fail;
            }

            return tokens.Tokenizer.IsAdded(id) ? state.NextMark(id, tokens.Bytes[id]) : Walk(state, tokens.Bytes[id]);
        }
    }

    /// <summary>Whether the text must end in a state.</summary>
    public bool IsFinal(Term state)
    {
        lock (_lock)
        {
            return state.Final;
        }
    }

    private static Term Walk(Term state, byte[] bytes)
    {
        foreach (byte value in bytes)
        {
            state = state.Next(value);
        }

        return state;
    }

    private ulong[] Compute(Term state)
    {
        ulong[] mask = new ulong[(tokens.Bytes.Length + 63) / 64];
        if ((long)_masked.Count * mask.Length * sizeof(ulong) > MostMaskBytes || pool.Count > MostTerms)
        {
            foreach (Term known in _masked)
            {
                known.Forget();
            }

            _masked.Clear();
            pool.Clear();
        }

        _masked.Add(state);
        Term[] path = new Term[tokens.Longest + 1];
        path[0] = state;
        int alive = 0;
        for (int i = 0; i < tokens.Sorted.Length; i++)
        {
            // Valid states of the path are those up to the first byte that failed; what this token shares beyond it fails with it.
            int common = tokens.Common[i];
            if (common > alive)
            {
                continue;
            }

            int id = tokens.Sorted[i];
            byte[] bytes = tokens.Bytes[id];
            int depth = common;
            while (depth < bytes.Length && (path[depth + 1] = path[depth].Next(bytes[depth])) is not FailTerm)
            {
                depth++;
            }

            alive = depth;
            if (depth == bytes.Length)
            {
                mask[id >> 6] |= 1UL << (id & 63);
            }
        }

        // Added tokens are marks of the format around the answer: they have a place in free text, and where the format itself is constrained.
        foreach (int id in state.TakesMarks ? tokens.Added : [])
        {
            if (state.NextMark(id, tokens.Bytes[id]) is not FailTerm)
            {
                mask[id >> 6] |= 1UL << (id & 63);
            }
        }

        return mask;
    }
}
