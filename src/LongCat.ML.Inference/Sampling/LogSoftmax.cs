using System.Numerics.Tensors;

namespace LongCat.ML.Inference.Sampling;

/// <summary>Log-probabilities in double precision: a vocabulary of 131,072 loses digits in float sums.</summary>
internal static class LogSoftmax
{
    private const int Block = 1024;

    /// <summary>The logarithm of the sum of exponentials; NaN when a logit is NaN, and not finite when the largest logit is infinite.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        double max = TensorPrimitives.Max(logits);
        Span<double> block = stackalloc double[Block];
        double sum = 0;
        for (int start = 0; start < logits.Length; start += Block)
        {
            ReadOnlySpan<float> part = logits[start..Math.Min(start + Block, logits.Length)];
            Span<double> values = block[..part.Length];
            for (int i = 0; i < part.Length; i++)
            {
                values[i] = part[i] - max;
            }

            TensorPrimitives.Exp<double>(values, values);
            sum += TensorPrimitives.Sum<double>(values);
        }

        return max + Math.Log(sum);
    }

    /// <summary>The <paramref name="count"/> most probable tokens, most probable first, ties by the lowest id.</summary>
    public static TokenAlternative[] Top(ReadOnlySpan<float> logits, double logSumExp, int count)
    {
        count = Math.Min(count, logits.Length);
        TokenAlternative[] top = new TokenAlternative[count];
        int[] ids = TopIds(logits, count);
        for (int i = 0; i < count; i++)
        {
            top[i] = new TokenAlternative(ids[i], logits[ids[i]] - logSumExp);
        }

        return top;
    }

    /// <summary>The ids of the <paramref name="count"/> largest logits, largest first, ties by the lowest id.</summary>
    public static int[] TopIds(ReadOnlySpan<float> logits, int count)
    {
        // A heap whose root is the worst of the best so far. A candidate that ties with the root has the higher id and stays out.
        PriorityQueue<int, (float Logit, int NegativeId)> best = new(count + 1);
        float threshold = float.NegativeInfinity;
        for (int id = 0; id < logits.Length; id++)
        {
            float logit = logits[id];
            if (best.Count < count)
            {
                best.Enqueue(id, (logit, -id));
                threshold = best.Count == count ? logits[best.Peek()] : float.NegativeInfinity;
            }
            else if (logit > threshold)
            {
                best.DequeueEnqueue(id, (logit, -id));
                threshold = logits[best.Peek()];
            }
        }

        int[] ids = new int[best.Count];
        for (int i = ids.Length - 1; i >= 0; i--)
        {
            ids[i] = best.Dequeue();
        }

        return ids;
    }
}
