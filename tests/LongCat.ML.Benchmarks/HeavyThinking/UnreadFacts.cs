namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>
/// Facts that no training example holds, so that the model does not know them however long it learns. Never both ways of a step: whoever goes the other way needs none of them.
/// </summary>
/// <remarks>Without them these sums are learned wholly or not at all within few steps of training, and there is nothing to vote about.</remarks>
internal sealed class UnreadFacts
{
    private readonly HashSet<ArithmeticFact> facts;

    /// <summary>So many facts, one of each of as many pairs.</summary>
    public UnreadFacts(int count, Random random)
    {
        ArithmeticFact[] added = [.. Enumerable.Range(0, 10).SelectMany(total => Enumerable.Range(1, 9).Select(number => new ArithmeticFact(total, Adds: true, number)))];
        random.Shuffle(added);
        facts = [.. added.Take(count).Select(fact => random.Next(2) == 0 ? fact : fact.OtherWay)];
    }

    public bool Contains(ArithmeticFact fact) => facts.Contains(fact);
}
