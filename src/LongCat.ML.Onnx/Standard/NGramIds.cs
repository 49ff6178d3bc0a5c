using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// The hash of the n-gram embedding in int64 arithmetic, exact because every sum stays below 2^63. A token's predecessors count as far as its segment
/// reaches: an absent token (-1) or an end-of-sequence token ends it, and what lies before counts as 0.
/// </summary>
internal static class NGramIds
{
    /// <param name="graph">The graph.</param>
    /// <param name="inputIds">int64 [batch, sequence].</param>
    /// <param name="context">int64 [batch, N - 1]: the tokens before the step, oldest first, -1 where there is none.</param>
    /// <param name="ngram">The tables.</param>
    /// <param name="eosTokenId">The token that ends a segment.</param>
    /// <returns>int64 [batch, sequence, tables].</returns>
    /// <exception cref="CheckpointException">Sums could pass 2^63.</exception>
    public static Value Emit(GraphBuilder graph, Value inputIds, Value context, NGramConfig ngram, int eosTokenId)
    {
        int back = ngram.NeighborNum - 1;
        IReadOnlyList<long> moduli = ngram.TableRows;
        CheckExact(ngram, moduli);
        Value sequence = graph.Size(inputIds, 1, "ngram.sequence");
        Value tokens = graph.Concat([context, inputIds], "ngram.tokens");
        Value sum = graph.Unsqueeze(inputIds, [2], "ngram.token");
        Value alive = Value.None;
        for (int delta = 1; delta <= back; delta++)
        {
            Value start = graph.Integers(back - delta);
            Value before = graph.Slice(tokens, start, graph.Binary("Add", sequence, start, $"ngram.end.{delta}"), 1, $"ngram.before.{delta}");
            Value inside = graph.Binary(
                "And",
                graph.Binary("GreaterOrEqual", before, graph.Integer(0), $"ngram.present.{delta}"),
                Not(graph, graph.Binary("Equal", before, graph.Integer(eosTokenId), $"ngram.eos.{delta}"), $"ngram.no_eos.{delta}"),
                $"ngram.inside.{delta}");
            alive = alive == Value.None ? inside : graph.Binary("And", alive, inside, $"ngram.alive.{delta}");
            Value counted = graph.Unsqueeze(graph.Where(alive, before, graph.Integer(0), $"ngram.counted.{delta}"), [2], $"ngram.counted.{delta}.column");

            // Tables of shorter n-grams do not see this token.
            long[] powers = [.. moduli.Select((modulus, i) => (i / ngram.SplitNum) + 1 >= delta ? Power(ngram.HashVocabSize, delta, modulus) : 0)];
            sum = graph.Binary("Add", sum, graph.Binary("Mul", counted, graph.Integers(powers), $"ngram.term.{delta}"), $"ngram.sum.{delta}");
        }

        return graph.Binary("Mod", sum, graph.Integers([.. moduli]), "ngram.ids");
    }

    private static Value Not(GraphBuilder graph, Value x, string output)
    {
        graph.Node(GraphBuilder.OnnxDomain, "Not", [x], [output]);
        return new Value(output);
    }

    private static long Power(long value, int exponent, long modulus)
    {
        Int128 power = 1;
        for (int i = 0; i < exponent; i++)
        {
            power = power * value % modulus;
        }

        return (long)power;
    }

    private static void CheckExact(NGramConfig ngram, IReadOnlyList<long> moduli)
    {
        Int128 largest = ngram.HashVocabSize + ((Int128)(ngram.NeighborNum - 1) * ngram.HashVocabSize * moduli.Max());
        if (largest > long.MaxValue)
        {
            throw new CheckpointException("config.json", $"n-gram sums reach {largest}; standard operators compute them in 64 bits. Export with the longcat operators.");
        }
    }
}
