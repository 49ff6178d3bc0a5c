namespace LongCat.ML.Inference.Calibration;

/// <summary>The medians over tokens of the share that a token's j least experts have of its weights, each to a part in 16,384.</summary>
/// <param name="topK">k, how many experts a token chooses, identity experts included; at least 2.</param>
internal sealed class ShareMedians(int topK)
{
    private const int Bins = 1 << 14;

    private readonly long[][] _counts = [.. Enumerable.Range(1, topK - 1).Select(_ => new long[Bins])];
    private readonly float[] _sorted = new float[topK];

    /// <summary>Adds a token.</summary>
    /// <param name="weights">[top_k] weights of its experts; 0 for identity experts, which count for nothing.</param>
    /// <returns>False where a weight is no number or negative: nothing is added.</returns>
    public bool Add(ReadOnlySpan<float> weights)
    {
        int count = 0;
        double sum = 0;
        foreach (float weight in weights)
        {
            if (!(weight >= 0 && float.IsFinite(weight)))
            {
                return false;
            }

            if (weight > 0)
            {
                _sorted[count++] = weight;
                sum += weight;
            }
        }

        Array.Sort(_sorted, 0, count);
        double tail = 0;
        for (int j = 1; j < count; j++)
        {
            tail += _sorted[j - 1];
            _counts[j - 1][Math.Min(Bins - 1, (int)(tail / sum * Bins))]++;
        }

        return true;
    }

    /// <summary>[top_k - 1]: the median for j = 1, 2, …; 0, so that nothing is skipped, where no token had more than j experts.</summary>
    public float[] Medians() => [.. _counts.Select(Median)];

    private static float Median(long[] counts)
    {
        long half = (counts.Sum() + 1) / 2;
        long seen = 0;
        for (int bin = 0; half > 0 && bin < Bins; bin++)
        {
            seen += counts[bin];
            if (seen >= half)
            {
                return (bin + 0.5f) / Bins;
            }
        }

        return 0;
    }
}
