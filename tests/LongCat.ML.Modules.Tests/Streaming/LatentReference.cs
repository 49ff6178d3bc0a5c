using LongCat.ML.Checkpoints;

namespace LongCat.ML.Modules.Tests.Streaming;

/// <summary>
/// One latent attention in double precision, plain loops from the formulas, over a sequence that is one document: rotary pairs stay in place, the mask is a predicate.
/// </summary>
internal static class LatentReference
{
    /// <param name="checkpoint">The weights.</param>
    /// <param name="config">The settings.</param>
    /// <param name="prefix">The attention's path.</param>
    /// <param name="input">[S][hidden], already normed.</param>
    /// <param name="visible">Whether a query sees a key that is not behind it.</param>
    /// <returns>[S][hidden].</returns>
    public static double[][] Run(Checkpoint checkpoint, LongcatFlashConfig config, string prefix, double[][] input, Func<int, int, bool> visible)
    {
        int heads = config.NumAttentionHeads, nope = config.QkNopeHeadDim, rope = config.QkRopeHeadDim, width = config.VHeadDim, rank = config.KvLoraRank;
        float[] frequencies = config.Rope.InverseFrequencies(rope);
        double[][] query = [.. input.Select(x => Matrix("q_b_proj", Norm(Matrix("q_a_proj", x), "q_a_layernorm", config.QueryScale)))];
        double[][] compressed = [.. input.Select(x => Matrix("kv_a_proj_with_mqa", x))];
        double[][] keyValue = [.. compressed.Select(c => Matrix("kv_b_proj", Norm(c[..rank], "kv_a_layernorm", config.LatentScale)))];
        double[][] rotaryKey = [.. compressed.Select((c, t) => Rotate(c[rank..], t))];
        var output = new double[input.Length][];
        for (int t = 0; t < input.Length; t++)
        {
            double[] joined = new double[heads * width];
            for (int head = 0; head < heads; head++)
            {
                double[] own = query[t][(head * (nope + rope))..((head + 1) * (nope + rope))];
                double[] turned = Rotate(own[nope..], t);
                int[] seen = [.. Enumerable.Range(0, t + 1).Where(j => visible(t, j))];
                double[] scores = [.. seen.Select(j => config.SoftmaxScale * (Dot(own[..nope], keyValue[j].AsSpan(head * (nope + width), nope)) + Dot(turned, rotaryKey[j])))];
                double top = scores.Max(), sum = scores.Sum(score => Math.Exp(score - top));
                for (int s = 0; s < seen.Length; s++)
                {
                    for (int d = 0; d < width; d++)
                    {
                        joined[(head * width) + d] += Math.Exp(scores[s] - top) / sum * keyValue[seen[s]][(head * (nope + width)) + nope + d];
                    }
                }
            }

            output[t] = Matrix("o_proj", joined);
        }

        return output;

        double[] Rotate(double[] pairs, int position)
        {
            double[] turned = new double[pairs.Length];
            for (int i = 0; i < pairs.Length; i += 2)
            {
                double angle = position * (double)frequencies[i / 2], cosine = config.Rope.Multiplier * Math.Cos(angle), sine = config.Rope.Multiplier * Math.Sin(angle);
                turned[i] = (pairs[i] * cosine) - (pairs[i + 1] * sine);
                turned[i + 1] = (pairs[i] * sine) + (pairs[i + 1] * cosine);
            }

            return turned;
        }

        double[] Norm(double[] x, string name, double scale)
        {
            float[] weight = checkpoint.ReadFloat32($"{prefix}.{name}.weight");
            double size = Math.Sqrt((x.Sum(value => value * value) / x.Length) + config.LatentNormEps);
            return [.. x.Select((value, i) => value / size * weight[i] * scale)];
        }

        double[] Matrix(string name, double[] x)
        {
            float[] weight = checkpoint.ReadFloat32($"{prefix}.{name}.weight");
            double[] y = new double[weight.Length / x.Length];
            for (int row = 0; row < y.Length; row++)
            {
                for (int column = 0; column < x.Length; column++)
                {
                    y[row] += (double)weight[(row * x.Length) + column] * x[column];
                }
            }

            return y;
        }
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }
}
