using LongCat.ML.Checkpoints;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The one layer of the draft head: joins word vector and hidden state (in this order), then one latent attention and one dense block.</summary>
public sealed class MultiTokenLayer : nn.Module
{
    private readonly NamedNorm enorm;
    private readonly NamedNorm hnorm;
    private readonly Projection eh_proj;
    private readonly RmsNorm input_layernorm;
    private readonly LatentAttention self_attn;
    private readonly RmsNorm post_attention_layernorm;
    private readonly DenseBlock transformer_layer;

    /// <summary>Creates the layer.</summary>
    /// <param name="config">The model's settings.</param>
    public MultiTokenLayer(LongcatFlashConfig config)
        : base(nameof(MultiTokenLayer))
    {
        long hidden = config.HiddenSize;
        enorm = new NamedNorm(hidden, config.RmsNormEps);
        hnorm = new NamedNorm(hidden, config.RmsNormEps);
        eh_proj = new Projection(2 * hidden, hidden);
        input_layernorm = new RmsNorm(hidden, config.RmsNormEps);
        self_attn = new LatentAttention(config);
        post_attention_layernorm = new RmsNorm(hidden, config.RmsNormEps);
        transformer_layer = new DenseBlock(hidden, config.FfnHiddenSize);
        RegisterComponents();
    }

    internal Tensor Forward(Tensor nextWords, Tensor hidden, SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        var joined = eh_proj.forward(cat([enorm.Forward(nextWords), hnorm.Forward(hidden)], 1));
        probe?.Invoke("mtp.eh_proj.output", joined);
        var afterAttention = joined.add(self_attn.Forward(input_layernorm.forward(joined), batch));
        return afterAttention.add(transformer_layer.Forward(post_attention_layernorm.forward(afterAttention))).MoveToOuterDisposeScope();
    }

    /// <summary>A norm whose published name has one level more: <c>enorm.m.weight</c>.</summary>
    private sealed class NamedNorm : nn.Module
    {
        private readonly RmsNorm m;

        public NamedNorm(long dimension, double epsilon)
            : base(nameof(NamedNorm))
        {
            m = new RmsNorm(dimension, epsilon);
            RegisterComponents();
        }

        public Tensor Forward(Tensor input) => m.forward(input);
    }

    /// <summary>The dense block under its published name <c>transformer_layer.mlp</c>.</summary>
    private sealed class DenseBlock : nn.Module
    {
        private readonly DenseMlp mlp;

        public DenseBlock(long hidden, long inner)
            : base(nameof(DenseBlock))
        {
            mlp = new DenseMlp(hidden, inner);
            RegisterComponents();
        }

        public Tensor Forward(Tensor input) => mlp.forward(input);
    }
}
