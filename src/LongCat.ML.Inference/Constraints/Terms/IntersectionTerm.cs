namespace LongCat.ML.Inference.Constraints.Terms;

/// <summary>The rest of a text that is in several terms at once and has a number of characters within bounds.</summary>
/// <param name="pool">The pool.</param>
/// <param name="automaton">The terms and the bounds.</param>
/// <param name="state">The automaton's state.</param>
/// <param name="count">How many whole characters were read.</param>
internal sealed class IntersectionTerm(TermPool pool, IntersectionAutomaton automaton, int state, int count) : Term(pool, automaton.Accepts(state, count))
{
    protected override Term Derive(byte value)
    {
        int next = automaton.Next(state, value);
        return next < 0 ? Pool.Fail : Pool.Intersection(automaton, next, automaton.IsBetween(next) ? count + 1 : count);
    }
}
