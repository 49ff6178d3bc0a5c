using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The stack of a plain decoder below the output matrix: embedding, layers, final norm.</summary>
/// <remarks>State, below <c>model.</c>: <c>embed_tokens</c>, <c>layers.{l}</c>, <c>norm</c>.</remarks>
public sealed class DecoderModel : nn.Module
{
    private readonly Embedding embed_tokens;
    private readonly ModuleList<DecoderBlock> layers;
    private readonly RmsNorm norm;
    private readonly RotaryTable _rotary;
    private readonly int _heads;

    /// <summary>Creates the stack with random weights.</summary>
    /// <param name="config">The model's settings.</param>
    public DecoderModel(DecoderConfig config)
        : base(nameof(DecoderModel))
    {
        embed_tokens = nn.Embedding(config.VocabSize, config.HiddenSize);
        var blocks = new DecoderBlock[config.NumLayers];
        for (int l = 0; l < blocks.Length; l++)
        {
            blocks[l] = new DecoderBlock(config, l);
        }

        layers = new ModuleList<DecoderBlock>(blocks);
        norm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        _rotary = new RotaryTable(config.Rope.InverseFrequencies(config.HeadDim), config.Rope.Multiplier);
        _heads = config.NumAttentionHeads;
        RegisterComponents();
    }

    /// <summary>The word embedding, which is the output matrix too where both are tied.</summary>
    public Embedding WordEmbedding => embed_tokens;

    /// <summary>Layers.</summary>
    public int LayerCount => layers.Count;

    /// <summary>A layer.</summary>
    /// <param name="index">0 to <see cref="LayerCount"/> - 1.</param>
    /// <returns>The layer, owned by this module.</returns>
    public DecoderBlock Layer(int index) => layers[index];

    /// <summary>Runs the stack.</summary>
    /// <param name="batch">The tokens.</param>
    /// <param name="probe">Sees intermediate results, or null.</param>
    /// <returns>The result; its tensors belong to the caller's dispose scope.</returns>
    internal ForwardResult Forward(SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        batch.Prepare(_heads, _rotary);
        var hidden = embed_tokens.forward(tensor(batch.InputIds));
        probe?.Invoke("hidden_states.embed", hidden);
        List<RoutingDecision> decisions = [];
        for (int l = 0; l < layers.Count; l++)
        {
            (hidden, var decision) = layers[l].Forward(hidden, batch, probe);
            probe?.Invoke($"hidden_states.layer.{l}", hidden);
            if (decision is not null)
            {
                decision.Probabilities.MoveToOuterDisposeScope();
                decision.Weights.MoveToOuterDisposeScope();
                decisions.Add(decision);
            }
        }

        var normed = norm.forward(hidden);
        probe?.Invoke("hidden_states.norm", normed);
        return new ForwardResult(normed.MoveToOuterDisposeScope(), hidden.MoveToOuterDisposeScope(), decisions);
    }
}
