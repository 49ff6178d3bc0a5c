using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>
/// A LoRA step of a plain decoder written directly against the tensor library: the same formulas on the same frozen matrices, with neither our modules nor our optimizer. Temporaries of a layer are
/// let go at its end, as anybody would write it who knows the library.
/// </summary>
internal sealed class DirectLoraStep : IDisposable
{
    private readonly DecoderConfig config;
    private readonly IReadOnlyDictionary<string, Tensor> weights;
    private readonly Dictionary<string, (Parameter A, Parameter B)> adapters = [];
    private readonly double scale;
    private readonly double clip;
    private readonly AdamW optimizer;

    /// <summary>Takes over copies of the adapters' first values.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="weights">Its frozen tensors by their published names; they stay the caller's.</param>
    /// <param name="first">A [r, in] and B [out, r] of each adapted module.</param>
    /// <param name="scale">What B·A is multiplied by.</param>
    /// <param name="rate">The learning rate.</param>
    /// <param name="clip">The largest norm of the gradient.</param>
    public DirectLoraStep(DecoderConfig config, IReadOnlyDictionary<string, Tensor> weights, IReadOnlyDictionary<string, (Tensor A, Tensor B)> first, double scale, double rate, double clip)
    {
        this.config = config;
        this.weights = weights;
        this.scale = scale;
        this.clip = clip;
        foreach ((string module, (Tensor a, Tensor b)) in first)
        {
            adapters.Add(module, (nn.Parameter(a.detach().clone()), nn.Parameter(b.detach().clone())));
        }

        optimizer = optim.AdamW(adapters.Values.SelectMany(pair => new[] { pair.A, pair.B }), lr: rate, weight_decay: 0);
    }

    /// <summary>One step over rows that are one document each.</summary>
    /// <param name="ids">[rows · columns].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Tokens of a row.</param>
    /// <returns>The mean cross-entropy of every token but a row's first.</returns>
    public double Step(long[] ids, int rows, int columns)
    {
        using DisposeScope scope = NewDisposeScope();
        int heads = config.NumAttentionHeads, groups = config.NumKeyValueHeads, width = config.HeadDim;
        Tensor input = tensor(ids);
        (Tensor cosine, Tensor sine) = Rotary(columns, width);
        Tensor mask = full([columns, columns], float.NegativeInfinity).triu(1);
        Tensor hidden = weights["model.embed_tokens.weight"].index_select(0, input);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            hidden = Layer($"model.layers.{layer}.", hidden);
        }

        Tensor logits = nn.functional.linear(Norm(hidden, "model.norm.weight"), weights[config.TieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"]);
        long[] next = new long[ids.Length];
        for (int i = 0; i < next.Length; i++)
        {
            next[i] = (i + 1) % columns == 0 ? -100 : ids[i + 1];
        }

        Tensor loss = nn.functional.cross_entropy(logits, tensor(next));
        optimizer.zero_grad();
        loss.backward();
        nn.utils.clip_grad_norm_(adapters.Values.SelectMany(pair => new[] { pair.A, pair.B }), clip);
        optimizer.step();
        return loss.item<float>();

        Tensor Layer(string prefix, Tensor x)
        {
            using DisposeScope inner = NewDisposeScope();
            Tensor normed = Norm(x, prefix + "input_layernorm.weight");
            Tensor query = Rotate(Heads(Project(normed, prefix + "self_attn.q_proj"), heads, prefix + "self_attn.q_norm.weight"));
            Tensor key = Rotate(Heads(Project(normed, prefix + "self_attn.k_proj"), groups, prefix + "self_attn.k_norm.weight"));
            Tensor value = Project(normed, prefix + "self_attn.v_proj").view(rows, columns, groups, width).transpose(1, 2);

            // Queries of one group lie side by side, so that keys and values need not be repeated: [rows · groups, heads/groups · columns, width].
            long shared = heads / groups;
            Tensor scores = query.mul(1 / Math.Sqrt(width)).reshape(rows * groups, shared * columns, width).bmm(key.reshape(rows * groups, columns, width).transpose(1, 2));
            Tensor weighted = scores.view(rows * heads, columns, columns).add(mask).softmax(-1).view(rows * groups, shared * columns, columns).bmm(value.reshape(rows * groups, columns, width));
            Tensor attended = weighted.view(rows, heads, columns, width).transpose(1, 2).reshape(rows * columns, heads * width);
            x = x.add(Project(attended, prefix + "self_attn.o_proj"));
            normed = Norm(x, prefix + "post_attention_layernorm.weight");
            Tensor gate = Project(normed, prefix + "mlp.gate_proj").silu();
            return x.add(Project(gate.mul(Project(normed, prefix + "mlp.up_proj")), prefix + "mlp.down_proj")).MoveToOuterDisposeScope();
        }

        Tensor Heads(Tensor joined, int count, string norm)
        {
            Tensor split = joined.view(rows, columns, count, width);
            return (config.QueryKeyNorm ? Norm(split, norm) : split).transpose(1, 2);
        }

        Tensor Rotate(Tensor byHead)
        {
            Tensor left = byHead.narrow(3, 0, width / 2), right = byHead.narrow(3, width / 2, width / 2);
            return cat([left.mul(cosine).sub(right.mul(sine)), right.mul(cosine).add(left.mul(sine))], 3);
        }
    }

    public void Dispose()
    {
        optimizer.Dispose();
        foreach ((Parameter a, Parameter b) in adapters.Values)
        {
            a.Dispose();
            b.Dispose();
        }
    }

    private Tensor Project(Tensor x, string module)
    {
        Tensor product = nn.functional.linear(x, weights[module + ".weight"]);
        return adapters.TryGetValue(module, out (Parameter A, Parameter B) adapter)
            ? product.add(nn.functional.linear(nn.functional.linear(x, adapter.A), adapter.B).mul(scale))
            : product;
    }

    private Tensor Norm(Tensor x, string weight) => x.mul(x.square().mean([-1], keepdim: true).add(config.RmsNormEps).rsqrt()).mul(weights[weight]);

    private (Tensor Cosine, Tensor Sine) Rotary(int columns, int width)
    {
        float[] angles = [.. Enumerable.Range(0, columns).SelectMany(position => config.Rope.InverseFrequencies(width).Select(frequency => position * frequency))];
        Tensor table = tensor(angles, [1, 1, columns, width / 2]);
        return (table.cos(), table.sin());
    }
}
