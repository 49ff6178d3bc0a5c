using System.Globalization;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// LongCat-Flash, Lite and the draft head in double precision: plain loops over one whole sequence, without cache, pages or batches, written from the
/// architecture's formulas. Where the golden fixtures are absent it is what the exported graphs are held against.
/// </summary>
/// <param name="checkpoint">The model.</param>
/// <param name="weights">Other values for a tensor of that name, or null for the checkpoint's own.</param>
/// <param name="round">What becomes of a row before the matrix of that name reads it.</param>
/// <param name="cached">What becomes of a token's scaled latent, and of its rotated key, in the cache.</param>
internal sealed class DoubleReference(
    Checkpoint checkpoint, Func<string, float[]?>? weights = null, Func<string, double[], double[]>? round = null, Func<double[], double[]>? cached = null)
{
    private const double LayerEps = 1e-5;

    private readonly LongcatFlashConfig _config = (LongcatFlashConfig)checkpoint.Config;
    private readonly Dictionary<string, double[]> _read = new(StringComparer.Ordinal);

    /// <summary>Logits and hidden state (after the final norm) of every position.</summary>
    public (double[][] Logits, double[][] Hidden) Run(long[] ids)
    {
        double[][] h = Embed(ids);
        for (int l = 0; l < _config.NumLayers; l++)
        {
            string layer = $"model.layers.{l}";
            double[][] x0 = Norm(h, $"{layer}.input_layernorm.0", LayerEps);
            int[][] visible = Visible($"{layer}.self_attn.0", x0);
            double[][] a0 = Add(h, Attention($"{layer}.self_attn.0", x0, visible));
            double[][] n0 = Norm(a0, $"{layer}.post_attention_layernorm.0", LayerEps);
            double[][] mixture = Mixture($"{layer}.mlp", n0);
            double[][] b0 = Add(a0, FeedForward($"{layer}.mlps.0", n0));
            double[][] a1 = Add(b0, Attention($"{layer}.self_attn.1", Norm(b0, $"{layer}.input_layernorm.1", LayerEps), visible));
            double[][] n1 = Norm(a1, $"{layer}.post_attention_layernorm.1", LayerEps);
            h = Add(Add(a1, FeedForward($"{layer}.mlps.1", n1)), mixture);
        }

        double[][] hidden = Norm(h, "model.norm", LayerEps);
        return (Linear(hidden, "lm_head.weight"), hidden);
    }

    /// <summary>The draft head: position t sees token t+1 (<paramref name="nextIds"/>) and the main model's hidden state at t.</summary>
    public (double[][] Logits, double[][] Hidden) RunDraft(long[] nextIds, double[][] mainHidden)
    {
        const string Layer = "model.mtp.layers.0";
        double[][] embedding = Norm(Rows("model.embed_tokens.weight", nextIds), $"{Layer}.enorm.m", LayerEps);
        double[][] main = Norm(mainHidden, $"{Layer}.hnorm.m", LayerEps);
        double[][] z = Linear([.. embedding.Zip(main, (e, m) => (double[])[.. e, .. m])], $"{Layer}.eh_proj.weight");
        double[][] x = Norm(z, $"{Layer}.input_layernorm", LayerEps);
        z = Add(z, Attention($"{Layer}.self_attn", x, Visible($"{Layer}.self_attn", x)));
        z = Add(z, FeedForward($"{Layer}.transformer_layer.mlp", Norm(z, $"{Layer}.post_attention_layernorm", LayerEps)));
        double[][] hidden = Norm(z, "model.mtp.norm", LayerEps);
        return (Linear(hidden, "lm_head.weight"), hidden);
    }

    private double[][] Embed(long[] ids)
    {
        double[][] sum = Rows("model.embed_tokens.weight", ids);
        if (_config.NGram is not { } ngram)
        {
            return sum;
        }

        int eos = _config.EosTokenIds[0];
        for (int i = 0; i < ngram.TableCount; i++)
        {
            int order = 2 + (i / ngram.SplitNum);
            long modulus = ngram.TableRows[i];
            long[] rows = [.. ids.Select((id, t) =>
            {
                System.Int128 hash = id;
                System.Int128 power = 1;
                for (int back = 1; back < order && t - back >= 0 && ids[t - back] != eos; back++)
                {
                    power = power * ngram.HashVocabSize % modulus;
                    hash += ids[t - back] * power;
                }

                return (long)(hash % modulus);
            })];
            sum = Add(sum, Linear(Rows(ngram.TableName(i), rows), ngram.ProjectionName(i)));
        }

        return [.. sum.Select(row => row.Select(x => x / (1 + ngram.TableCount)).ToArray())];
    }

    /// <summary>
    /// The keys that each query sees: all before it, or those that the attention's indexer chooses (LongCat Sparse Attention). Scores with all published factors.
    /// The gap between the last score that is chosen and the first that is not says how close a choice was: <see cref="ClosestChoice"/> is the smallest, over the largest score.
    /// </summary>
    private int[][] Visible(string attention, double[][] x)
    {
        int[][] visible = [.. Enumerable.Range(0, x.Length).Select(t => Enumerable.Range(0, t + 1).ToArray())];
        if (_config.Indexer is not { } indexer || x.Length <= indexer.TopK)
        {
            return visible;
        }

        int dim = indexer.HeadDim;
        int rope = _config.QkRopeHeadDim;
        double[][] latent = Norm(Linear(x, $"{attention}.q_a_proj.weight"), $"{attention}.q_a_layernorm", _config.LatentNormEps);
        double[][] q = Linear([.. latent.Select(row => row.Select(value => value * _config.QueryScale).ToArray())], $"{attention}.indexer.wq_b.weight");
        double[][] k = [.. Norm(Linear(x, $"{attention}.indexer.wk.weight"), $"{attention}.indexer.k_norm", LayerEps).Select(RotateFirst)];
        double[][] w = Linear(x, $"{attention}.indexer.weights_proj.weight");
        for (int t = indexer.TopK; t < x.Length; t++)
        {
            double[] score = new double[t + 1];
            for (int h = 0; h < indexer.NumHeads; h++)
            {
                double[] query = RotateFirst(q[t].AsSpan(h * dim, dim).ToArray(), t);
                for (int j = 0; j <= t; j++)
                {
                    score[j] += w[t][h] / Math.Sqrt(indexer.NumHeads) / Math.Sqrt(dim) * Math.Max(0, Dot(query, k[j]));
                }
            }

            int[] order = [.. Enumerable.Range(0, t + 1).OrderByDescending(j => j < indexer.InitTokens || j > t - indexer.LocalTokens ? double.PositiveInfinity : score[j]).ThenBy(j => j)];
            double gap = (score[order[indexer.TopK - 1]] - score[order[indexer.TopK]]) / score.Max(Math.Abs);
            if (gap > 0 && indexer.TopK > indexer.InitTokens + indexer.LocalTokens)
            {
                ClosestChoice = Math.Min(ClosestChoice, gap);
            }

            visible[t] = [.. order.Take(indexer.TopK).Order()];
        }

        return visible;

        double[] RotateFirst(double[] row, int position) => [.. Rotate(row.AsSpan(0, rope), position), .. row[rope..]];
    }

    /// <summary>See <see cref="Visible"/>; infinite while nothing was chosen, or only among equal scores.</summary>
    public double ClosestChoice { get; private set; } = double.PositiveInfinity;

    private double[][] Attention(string prefix, double[][] x, int[][] visible)
    {
        int nope = _config.QkNopeHeadDim;
        int rope = _config.QkRopeHeadDim;
        int rank = _config.KvLoraRank;
        int v = _config.VHeadDim;
        double[][] q = Linear(Norm(Linear(x, $"{prefix}.q_a_proj.weight"), $"{prefix}.q_a_layernorm", _config.LatentNormEps), $"{prefix}.q_b_proj.weight");
        double[][] latent = Linear(x, $"{prefix}.kv_a_proj_with_mqa.weight");
        double[][] c = Norm([.. latent.Select(row => row[..rank])], $"{prefix}.kv_a_layernorm", _config.LatentNormEps);
        double[][] kv = Linear([.. c.Select(row => Cached([.. row.Select(value => value * _config.LatentScale)]))], $"{prefix}.kv_b_proj.weight");
        double[][] keyRope = [.. latent.Select((row, t) => Cached(Rotate(row[rank..], t)))];
        double[][] output = [.. x.Select(_ => new double[_config.NumAttentionHeads * v])];
        for (int head = 0; head < _config.NumAttentionHeads; head++)
        {
            for (int t = 0; t < x.Length; t++)
            {
                double[] query = [.. q[t].Skip(head * (nope + rope)).Take(nope + rope).Select(value => value * _config.QueryScale)];
                double[] rotated = Rotate(query[nope..], t);
                double[] scores = new double[visible[t].Length];
                for (int i = 0; i < scores.Length; i++)
                {
                    int j = visible[t][i];
                    ReadOnlySpan<double> key = kv[j].AsSpan(head * (nope + v), nope);
                    scores[i] = Sees(prefix, t, j) ? (Dot(query.AsSpan(0, nope), key) + Dot(rotated, keyRope[j])) * _config.SoftmaxScale : double.NegativeInfinity;
                }

                double[] p = Softmax(scores);
                for (int i = 0; i < scores.Length; i++)
                {
                    for (int d = 0; d < v; d++)
                    {
                        output[t][(head * v) + d] += p[i] * kv[visible[t][i]][(head * (nope + v)) + nope + d];
                    }
                }
            }
        }

        return Linear(output, $"{prefix}.o_proj.weight");
    }

    private double[] Cached(double[] row) => cached is null ? row : cached(row);

    /// <summary>Whether a query sees a key before it: always in attentions that do not stream, the draft head's among them.</summary>
    private bool Sees(string attention, int query, int key)
    {
        string[] path = attention.Split('.');
        return _config.Streaming is not { } streaming || path[1] != "layers"
            || !streaming.AttentionLayers.Contains((2 * int.Parse(path[2], CultureInfo.InvariantCulture)) + int.Parse(path[4], CultureInfo.InvariantCulture))
            || key / streaming.BlockSize < streaming.SinkBlocks || key / streaming.BlockSize > (query / streaming.BlockSize) - streaming.LocalBlocks;
    }

    /// <summary>Interleaved pairs; the angle is a float32 product, as the operator defines it.</summary>
    private double[] Rotate(ReadOnlySpan<double> x, int position)
    {
        float[] frequencies = _config.Rope.InverseFrequencies(x.Length);
        double[] result = new double[x.Length];
        for (int i = 0; i < frequencies.Length; i++)
        {
            (double sin, double cos) = Math.SinCos((float)position * frequencies[i]);
            (sin, cos) = (sin * _config.Rope.Multiplier, cos * _config.Rope.Multiplier);
            result[2 * i] = (x[2 * i] * cos) - (x[(2 * i) + 1] * sin);
            result[(2 * i) + 1] = (x[2 * i] * sin) + (x[(2 * i) + 1] * cos);
        }

        return result;
    }

    private double[][] Mixture(string prefix, double[][] x)
    {
        double[] bias = Read($"{prefix}.router.e_score_correction_bias");
        double[][] logits = Linear(x, $"{prefix}.router.classifier.weight");
        double[][] y = [.. x.Select(row => new double[row.Length])];
        for (int t = 0; t < x.Length; t++)
        {
            double[] p = Softmax(logits[t]);
            foreach (int e in Enumerable.Range(0, p.Length).OrderByDescending(e => p[e] + bias[e]).ThenBy(e => e).Take(_config.MoeTopK))
            {
                double weight = p[e] * _config.RoutedScalingFactor;
                double[]? contribution = e < _config.NumRoutedExperts ? FeedForward($"{prefix}.experts.{e}", [x[t]])[0]
                    : _config.ZeroExpertType == ZeroExpertType.Identity ? x[t] : null;
                for (int i = 0; contribution is not null && i < y[t].Length; i++)
                {
                    y[t][i] += weight * contribution[i];
                }
            }
        }

        return y;
    }

    private double[][] FeedForward(string prefix, double[][] x)
    {
        double[][] gate = Linear(x, $"{prefix}.gate_proj.weight");
        double[][] up = Linear(x, $"{prefix}.up_proj.weight");
        return Linear([.. gate.Zip(up, (g, u) => g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b).ToArray())], $"{prefix}.down_proj.weight");
    }

    private double[][] Norm(double[][] x, string name, double epsilon)
    {
        double[] weight = Read($"{name}.weight");
        return [.. x.Select(row =>
        {
            double scale = 1 / Math.Sqrt((Dot(row, row) / row.Length) + epsilon);
            return row.Select((value, i) => value * scale * weight[i]).ToArray();
        })];
    }

    private double[][] Linear(double[][] x, string name)
    {
        double[] weight = Read(name);
        int inputs = x[0].Length;
        x = round is null ? x : [.. x.Select(row => round(name, row))];
        return [.. x.Select(row => Enumerable.Range(0, weight.Length / inputs).Select(o => Dot(row, weight.AsSpan(o * inputs, inputs))).ToArray())];
    }

    private double[][] Rows(string name, long[] rows)
    {
        double[] table = Read(name);
        int width = (int)checkpoint.Entry(name).Shape[1];
        return [.. rows.Select(row => table.AsSpan((int)row * width, width).ToArray())];
    }

    private double[] Read(string name)
    {
        if (!_read.TryGetValue(name, out double[]? values))
        {
            _read[name] = values = [.. (weights?.Invoke(name) ?? checkpoint.ReadFloat32(name)).Select(value => (double)value)];
        }

        return values;
    }

    private static double[][] Add(double[][] a, double[][] b) => [.. a.Zip(b, (x, y) => x.Zip(y, (u, v) => u + v).ToArray())];

    private static double[] Softmax(double[] x)
    {
        double largest = x.Max();
        double[] e = [.. x.Select(value => Math.Exp(value - largest))];
        double sum = e.Sum();
        return [.. e.Select(value => value / sum)];
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
