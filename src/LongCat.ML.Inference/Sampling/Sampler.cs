using System.Numerics.Tensors;

namespace LongCat.ML.Inference.Sampling;

/// <summary>Chooses a token from a row of logits. Holds scratch memory: one instance belongs to one thread.</summary>
internal sealed class Sampler
{
    private double[] _weights = [];
    private int[] _ids = [];

    /// <summary>The chosen token.</summary>
    /// <param name="logits">One row, [V].</param>
    /// <param name="options">Temperature, top-k and top-p.</param>
    /// <param name="seed">The request's seed.</param>
    /// <param name="position">The position of the new token in its sequence.</param>
    /// <exception cref="InferenceException">The logits hold a NaN, or the largest is infinite.</exception>
    public int Sample(ReadOnlySpan<float> logits, GenerationOptions options, ulong seed, int position)
    {
        int best = Greedy(logits, position - 1);
        if (options.Temperature == 0 || options.TopK == 1)
        {
            return best;
        }

        double random = CounterRandom.Uniform(seed, position);
        double scale = 1.0 / options.Temperature;
        if (options.TopK > 0 && options.TopK < logits.Length)
        {
            int[] ids = LogSoftmax.TopIds(logits, options.TopK);
            double[] weights = new double[ids.Length];
            for (int i = 0; i < ids.Length; i++)
            {
                weights[i] = Math.Exp(((double)logits[ids[i]] - logits[best]) * scale);
            }

            return DrawFromSorted(ids, weights, options.TopP * weights.Sum(), random);
        }

        Span<double> all = Weights(logits, logits[best], scale);
        double total = TensorPrimitives.Sum<double>(all);
        if (options.TopP >= 1)
        {
            return DrawFromAll(all, random * total);
        }

        int[] nucleus = Nucleus(all, options.TopP * total);
        double[] values = _weights;
        return DrawFromSorted(nucleus, Array.ConvertAll(nucleus, id => values[id]), options.TopP * total, random);
    }

    /// <summary>The token with the largest logit, ties by the lowest id.</summary>
    /// <exception cref="InferenceException">The logits hold a NaN, or the largest is infinite.</exception>
    public static int Greedy(ReadOnlySpan<float> logits, int position)
    {
        int best = TensorPrimitives.IndexOfMax(logits);
        return float.IsFinite(logits[best])
            ? best
            : throw new InferenceException(
                $"the logits after position {position} have {logits[best]} at token {best}; finite values are expected. The model's weights are damaged or its values overflow.");
    }

    /// <summary>exp((logit - max) / temperature) of every token.</summary>
    private Span<double> Weights(ReadOnlySpan<float> logits, float max, double scale)
    {
        if (_weights.Length < logits.Length)
        {
            _weights = new double[logits.Length];
        }

        Span<double> weights = _weights.AsSpan(0, logits.Length);
        for (int id = 0; id < weights.Length; id++)
        {
            weights[id] = ((double)logits[id] - max) * scale;
        }

        TensorPrimitives.Exp<double>(weights, weights);
        return weights;
    }

    private static int DrawFromAll(ReadOnlySpan<double> weights, double target)
    {
        double sum = 0;
        int last = 0;
        for (int id = 0; id < weights.Length; id++)
        {
            if (weights[id] > 0)
            {
                sum += weights[id];
                last = id;
                if (sum > target)
                {
                    return id;
                }
            }
        }

        return last;
    }

    /// <summary>
    /// Tokens in descending order whose mass reaches <paramref name="wanted"/>. Sorting the whole vocabulary would take longer than a small model's step,
    /// so only tokens above a threshold are sorted, and the threshold falls until their mass suffices.
    /// </summary>
    private int[] Nucleus(ReadOnlySpan<double> weights, double wanted)
    {
        if (_ids.Length < weights.Length)
        {
            _ids = new int[weights.Length];
        }

        for (double threshold = 1e-3; ; threshold *= 1e-3)
        {
            bool all = threshold < 1e-12;
            int count = 0;
            double mass = 0;
            for (int id = 0; id < weights.Length; id++)
            {
                if (all || weights[id] >= threshold)
                {
                    _ids[count++] = id;
                    mass += weights[id];
                }
            }

            if (all || mass >= wanted)
            {
                int[] ids = _ids[..count];
                double[] values = _weights;
                Array.Sort(ids, (left, right) => values[left] != values[right] ? values[right].CompareTo(values[left]) : left.CompareTo(right));
                return ids;
            }
        }
    }

    /// <summary>Draws among the fewest leading tokens whose weights reach <paramref name="wanted"/>, the token that crosses it included.</summary>
    private static int DrawFromSorted(ReadOnlySpan<int> ids, ReadOnlySpan<double> weights, double wanted, double random)
    {
        int kept = 0;
        double mass = 0;
        while (kept < ids.Length && (kept == 0 || mass < wanted))
        {
            mass += weights[kept++];
        }

        double target = random * mass;
        double sum = 0;
        for (int i = 0; i < kept; i++)
        {
            sum += weights[i];
            if (sum > target)
            {
                return ids[i];
            }
        }

        return ids[kept - 1];
    }
}
