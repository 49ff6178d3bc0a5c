using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.TestShared;

/// <summary>
/// Llama, Mistral, Mixtral, Qwen2, Qwen3 and Qwen3-MoE in double precision: plain loops over one whole sequence, without cache, batches or grouped products, written from
/// the architecture's formulas. It reads config.json by itself, so it shares neither the reading of settings nor any arithmetic with the product.
/// </summary>
internal sealed class DecoderReference : IDisposable
{
    private readonly Checkpoint _checkpoint;
    private readonly JsonElement _config;
    private readonly string _architecture;
    private readonly int _heads;
    private readonly int _keyValueHeads;
    private readonly int _dimension;
    private readonly int _layers;
    private readonly double _epsilon;
    private readonly float[] _frequencies;
    private readonly (int Block, int Sinks, int Locals, int[] Layers) _streaming;
    private readonly Dictionary<string, double[]> _read = new(StringComparer.Ordinal);

    private readonly Func<string, float[]?>? _weights;
    private readonly Func<string, double[], double[]>? _round;
    private readonly Func<double[], double[]>? _cached;

    /// <param name="folder">The checkpoint.</param>
    /// <param name="weights">Other values for a tensor of that name, or null for the checkpoint's own.</param>
    /// <param name="round">What becomes of a row before the matrix of that name reads it.</param>
    /// <param name="cached">What becomes of a head's rotated key, and of its value, in the cache.</param>
    public DecoderReference(
        string folder, Func<string, float[]?>? weights = null, Func<string, double[], double[]>? round = null, Func<double[], double[]>? cached = null)
    {
        _cached = cached;
        _weights = weights;
        _round = round;
        _checkpoint = Checkpoint.Open(folder);
        _config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "config.json"))).RootElement;
        _architecture = _config.GetProperty("architectures")[0].GetString()!;
        _heads = Int("num_attention_heads");
        _keyValueHeads = Int("num_key_value_heads");
        _dimension = Has("head_dim") ? Int("head_dim") : Int("hidden_size") / _heads;
        _layers = Int("num_hidden_layers");
        _epsilon = _config.GetProperty("rms_norm_eps").GetDouble();
        _frequencies = Frequencies();
        if (Has("streaming_sparse_attention"))
        {
            JsonElement streaming = _config.GetProperty("streaming_sparse_attention");
            _streaming = (Value("block_size"), Value("sink_blocks"), Value("local_blocks"), [.. streaming.GetProperty("attention_layers").EnumerateArray().Select(entry => entry.GetInt32())]);

            int Value(string name) => streaming.GetProperty(name).GetInt32();
        }
    }

    public void Dispose() => _checkpoint.Dispose();

    /// <summary>Logits and hidden state (after the final norm) of every position, row-major.</summary>
    public (float[] Logits, float[] Hidden) Run(long[] ids) => RunFrom(ids, 0);

    /// <summary>The same of the positions from the first one that is asked for.</summary>
    public (float[] Logits, float[] Hidden) RunFrom(long[] ids, int first)
    {
        double[][] h = [.. ids.Select(id => Row("model.embed_tokens.weight", (int)id))];
        for (int l = 0; l < _layers; l++)
        {
            string layer = $"model.layers.{l}";
            int needed = l == _layers - 1 ? first : 0;
            h = Add(h[needed..], Attention(l, Norm(h, $"{layer}.input_layernorm"), needed));
            double[][] n = Norm(h, $"{layer}.post_attention_layernorm");
            h = Add(h, _architecture == "MixtralForCausalLM" ? Mixture($"{layer}.block_sparse_moe", n, "w1", "w3", "w2", normalize: true)
                : _architecture == "Qwen3MoeForCausalLM" ? Mixture($"{layer}.mlp", n, "gate_proj", "up_proj", "down_proj", _config.GetProperty("norm_topk_prob").GetBoolean())
                : FeedForward($"{layer}.mlp", n, "gate_proj", "up_proj", "down_proj"));
        }

        double[][] hidden = Norm(h, "model.norm");
        bool tied = _config.GetProperty("tie_word_embeddings").GetBoolean();
        return (Flat(Linear(hidden, tied ? "model.embed_tokens" : "lm_head")), Flat(hidden));
    }

    /// <summary>All rows are keys, those from the first on are queries.</summary>
    private double[][] Attention(int layer, double[][] x, int first)
    {
        string prefix = $"model.layers.{layer}.self_attn";
        double[][] q = Linear(x[first..], $"{prefix}.q_proj");
        double[][] k = Linear(x, $"{prefix}.k_proj");
        double[][] v = Linear(x, $"{prefix}.v_proj");
        int window = Window(layer);
        double[][] output = [.. q.Select(_ => new double[_heads * _dimension])];
        for (int head = 0; head < _heads; head++)
        {
            int shared = head * _keyValueHeads / _heads;
            double[][] queries = [.. q.Select((row, t) => Rotate(Normed(row.AsSpan(head * _dimension, _dimension), $"{prefix}.q_norm"), first + t))];
            double[][] keys = [.. k.Select((row, t) => Cached(Rotate(Normed(row.AsSpan(shared * _dimension, _dimension), $"{prefix}.k_norm"), t)))];
            double[][] values = [.. v.Select(row => Cached(row.AsSpan(shared * _dimension, _dimension).ToArray()))];
            for (int t = 0; t < queries.Length; t++)
            {
                int[] seen = [.. Seen(layer, first + t, window)];
                double[] p = Softmax([.. seen.Select(j => Dot(queries[t], keys[j]) / Math.Sqrt(_dimension))]);
                for (int s = 0; s < seen.Length; s++)
                {
                    for (int d = 0; d < _dimension; d++)
                    {
                        output[t][(head * _dimension) + d] += p[s] * values[seen[s]][d];
                    }
                }
            }
        }

        return Linear(output, $"{prefix}.o_proj");
    }

    private double[] Cached(double[] row) => _cached is null ? row : _cached(row);

    /// <summary>The keys that a query sees, ascending: of a streaming attention those of the first blocks and of the latest ones.</summary>
    private IEnumerable<int> Seen(int layer, int query, int window)
    {
        int nearest = Math.Max(0, query - window + 1);
        if (_streaming.Layers?.Contains(layer) != true)
        {
            return Enumerable.Range(nearest, query + 1 - nearest);
        }

        (int size, int sinks, int locals, _) = _streaming;
        return Enumerable.Range(0, (query / size) + 1).Where(block => block < sinks || block > (query / size) - locals)
            .SelectMany(block => Enumerable.Range(block * size, size)).Where(key => key >= nearest && key <= query);
    }

    /// <summary>How many tokens a query sees, itself included.</summary>
    private int Window(int layer)
    {
        bool windowed = Has("sliding_window") && _architecture switch
        {
            "MistralForCausalLM" or "MixtralForCausalLM" => true,
            "LlamaForCausalLM" => false,
            _ => _config.GetProperty("use_sliding_window").GetBoolean() && layer >= Int("max_window_layers"),
        };
        return windowed ? Int("sliding_window") : int.MaxValue / 2;
    }

    private float[] Frequencies()
    {
        double theta = _config.GetProperty("rope_theta").GetDouble();
        double[] plain = [.. Enumerable.Range(0, _dimension / 2).Select(i => 1 / Math.Pow(theta, 2.0 * i / _dimension))];
        if (!Has("rope_scaling"))
        {
            return [.. plain.Select(f => (float)f)];
        }

        JsonElement scaling = _config.GetProperty("rope_scaling");
        Assert.Equal("llama3", scaling.GetProperty("rope_type").GetString());
        double factor = Number("factor"), low = Number("low_freq_factor"), high = Number("high_freq_factor"), original = Number("original_max_position_embeddings");
        return [.. plain.Select(f =>
        {
            // Turns over the original context: few of them are slowed down by the factor, many are left alone, between both the two are blended.
            double turns = original * f / (2 * Math.PI);
            double keep = Math.Clamp((turns - low) / (high - low), 0, 1);
            return (float)((keep * f) + ((1 - keep) * f / factor));
        })];

        double Number(string key) => scaling.GetProperty(key).GetDouble();
    }

    /// <summary>Component i with component i + half; the angle is a float32 product.</summary>
    private double[] Rotate(double[] x, int position)
    {
        int half = x.Length / 2;
        double[] result = new double[x.Length];
        for (int i = 0; i < half; i++)
        {
            (double sin, double cos) = Math.SinCos(position * _frequencies[i]);
            result[i] = (x[i] * cos) - (x[i + half] * sin);
            result[i + half] = (x[i + half] * cos) + (x[i] * sin);
        }

        return result;
    }

    private double[][] Mixture(string prefix, double[][] x, string gate, string up, string down, bool normalize)
    {
        double[][] logits = Linear(x, $"{prefix}.gate");
        int topK = Int("num_experts_per_tok");
        return [.. x.Select((row, t) =>
        {
            double[] p = Softmax(logits[t]);
            int[] chosen = [.. Enumerable.Range(0, p.Length).OrderByDescending(e => p[e]).ThenBy(e => e).Take(topK)];
            double sum = normalize ? chosen.Sum(e => p[e]) : 1;
            double[] y = new double[row.Length];
            foreach (int e in chosen)
            {
                double[] contribution = FeedForward($"{prefix}.experts.{e}", [row], gate, up, down)[0];
                for (int i = 0; i < y.Length; i++)
                {
                    y[i] += p[e] / sum * contribution[i];
                }
            }

            return y;
        })];
    }

    private double[][] FeedForward(string prefix, double[][] x, string gateName, string upName, string downName)
    {
        double[][] gate = Linear(x, $"{prefix}.{gateName}");
        double[][] up = Linear(x, $"{prefix}.{upName}");
        return Linear([.. gate.Zip(up, (g, u) => g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b).ToArray())], $"{prefix}.{downName}");
    }

    private double[][] Norm(double[][] x, string name) => [.. x.Select(row => Normed(row, name))];

    /// <summary>The RMS norm of that name, or the vector itself where the checkpoint has none.</summary>
    private double[] Normed(ReadOnlySpan<double> x, string name)
    {
        if (!_checkpoint.Contains($"{name}.weight"))
        {
            return x.ToArray();
        }

        double[] weight = Read($"{name}.weight");
        double scale = 1 / Math.Sqrt((Dot(x, x) / x.Length) + _epsilon);
        double[] result = new double[x.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = x[i] * scale * weight[i];
        }

        return result;
    }

    /// <summary>The matrix of that name, and its bias where the checkpoint has one.</summary>
    private double[][] Linear(double[][] x, string name)
    {
        double[] weight = Read($"{name}.weight");
        double[]? bias = _checkpoint.Contains($"{name}.bias") ? Read($"{name}.bias") : null;
        int inputs = x[0].Length;
        x = _round is null ? x : [.. x.Select(row => _round($"{name}.weight", row))];
        return [.. x.Select(row => Enumerable.Range(0, weight.Length / inputs).Select(o => Dot(row, weight.AsSpan(o * inputs, inputs)) + (bias?[o] ?? 0)).ToArray())];
    }

    private double[] Row(string name, int row)
    {
        int width = (int)_checkpoint.Entry(name).Shape[1];
        return Read(name).AsSpan(row * width, width).ToArray();
    }

    private double[] Read(string name)
    {
        if (!_read.TryGetValue(name, out double[]? values))
        {
            _read[name] = values = [.. (_weights?.Invoke(name) ?? _checkpoint.ReadFloat32(name)).Select(value => (double)value)];
        }

        return values;
    }

    private bool Has(string key) => _config.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    private int Int(string key) => _config.GetProperty(key).GetInt32();

    private static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row.Select(value => (float)value))];

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
