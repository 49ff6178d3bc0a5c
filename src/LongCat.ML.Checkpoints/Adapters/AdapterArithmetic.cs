namespace LongCat.ML.Checkpoints;

/// <summary>Combines the values of tensors of one shape: pruning, election of signs, weighted sums. The rules are those of PEFT's <c>merge_utils</c>.</summary>
internal static class AdapterArithmetic
{
    /// <summary>The combination of one matrix, A or B, of several adapters.</summary>
    public static float[] Combine(float[][] tensors, double[] weights, CombineOptions options, ulong seed)
    {
        float[][] kept = options.Method switch
        {
            AdapterCombination.Ties or AdapterCombination.MagnitudePrune => [.. tensors.Select(t => Largest(t, options.Density!.Value))],
            AdapterCombination.DareLinear or AdapterCombination.DareTies => [.. tensors.Select((t, i) => Dropped(t, options.Density!.Value, seed + ((ulong)i << 48)))],
            _ => tensors,
        };
        return options.Method is AdapterCombination.Ties or AdapterCombination.DareTies ? Elected(kept, weights, options.MajoritySign) : Sum(kept, weights);
    }

    /// <summary>The values of largest magnitude, ⌊density · n⌋ of them; of equal ones the first.</summary>
    private static float[] Largest(float[] tensor, double density)
    {
        if (density >= 1)
        {
            return tensor;
        }

        float[] result = new float[tensor.Length];
        int[] order = [.. Enumerable.Range(0, tensor.Length).OrderByDescending(i => Math.Abs(tensor[i]))];
        foreach (int i in order.AsSpan(0, (int)(density * tensor.Length)))
        {
            result[i] = tensor[i];
        }

        return result;
    }

    /// <summary>Each value kept with the probability of the density, and divided by it.</summary>
    private static float[] Dropped(float[] tensor, double density, ulong seed)
    {
        if (density >= 1)
        {
            return tensor;
        }

        float[] result = new float[tensor.Length];
        for (int i = 0; i < tensor.Length; i++)
        {
            // SplitMix64: a number of 53 bits in [0, 1).
            seed += 0x9E3779B97F4A7C15;
            ulong z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            result[i] = ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53)) < density ? (float)(tensor[i] / density) : 0;
        }

        return result;
    }

    private static float[] Sum(float[][] tensors, double[] weights)
    {
        float[] result = new float[tensors[0].Length];
        for (int i = 0; i < result.Length; i++)
        {
            double sum = 0;
            for (int t = 0; t < tensors.Length; t++)
            {
                sum += weights[t] * tensors[t][i];
            }

            result[i] = (float)sum;
        }

        return result;
    }

    /// <summary>Weighted values whose sign the majority has, divided by how many there are; a draw counts as positive.</summary>
    private static float[] Elected(float[][] tensors, double[] weights, MajoritySign method)
    {
        float[] result = new float[tensors[0].Length];
        for (int i = 0; i < result.Length; i++)
        {
            double vote = 0;
            foreach (float[] tensor in tensors)
            {
                vote += method == MajoritySign.Total ? tensor[i] : Math.Sign(tensor[i]);
            }

            int sign = vote >= 0 ? 1 : -1, count = 0;
            double sum = 0;
            for (int t = 0; t < tensors.Length; t++)
            {
                if (Math.Sign(tensors[t][i]) == sign)
                {
                    sum += weights[t] * tensors[t][i];
                    count++;
                }
            }

            result[i] = (float)(sum / Math.Max(count, 1));
        }

        return result;
    }
}
