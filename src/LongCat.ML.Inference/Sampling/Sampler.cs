using System.Numerics.Tensors;

namespace LongCat.ML.Inference.Sampling;

/// <summary>Chooses a token from a row of logits. Holds scratch memory: one instance belongs to one thread.</summary>
internal sealed class Sampler
{
    private const int Levels = 1024;

    private double[] _weights = [];
    private readonly List<int> _kept = [];
    private readonly List<int> _border = [];

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

        return DrawFromNucleus(logits, logits[best], scale, all, options.TopP * total, random);
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
    /// Draws among the fewest most probable tokens whose weights reach <paramref name="wanted"/>. Sorting the whole vocabulary would take longer than a small
    /// model's step: a histogram over the logarithms of the weights finds the level where the sum is reached, and only the tokens of that level are sorted.
    /// </summary>
    private int DrawFromNucleus(ReadOnlySpan<float> logits, float max, double scale, ReadOnlySpan<double> weights, double wanted, double random)
    {
        Span<double> mass = stackalloc double[Levels];
        mass.Clear();
        for (int id = 0; id < weights.Length; id++)
        {
            mass[Level(logits[id], max, scale)] += weights[id];
        }

        int border = 0;
        double above = 0;
        while (border < Levels - 1 && above + mass[border] < wanted)
        {
            above += mass[border++];
        }

        _kept.Clear();
        _border.Clear();
        for (int id = 0; id < weights.Length; id++)
        {
            int level = Level(logits[id], max, scale);
            if (level < border)
            {
                _kept.Add(id);
            }
            else if (level == border)
            {
                _border.Add(id);
            }
        }

        double[] values = _weights;
        _border.Sort((left, right) => values[left] != values[right] ? values[right].CompareTo(values[left]) : left.CompareTo(right));
        foreach (int id in _border)
        {
            if (above >= wanted && _kept.Count > 0)
            {
                break;
            }

            _kept.Add(id);
            above += weights[id];
        }

        double target = random * above;
        double sum = 0;
        foreach (int id in _kept)
        {
            sum += weights[id];
            if (sum > target)
            {
                return id;
            }
        }

        return _kept[^1];
    }

    /// <summary>Level 0 holds the largest weights (1 and just below), the last one everything from e^-40 down. Never falls as the weight falls.</summary>
    private static int Level(float logit, float max, double scale)
    {
        double depth = ((double)max - logit) * scale * (Levels / 40.0);
        return depth < Levels - 1 ? (int)depth : Levels - 1;
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
