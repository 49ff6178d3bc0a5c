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
    private readonly TokenTable _words;
    private readonly PassSettings _settings;

    /// <summary>Creates the stack with random weights.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="settings">Shared with the model around it.</param>
    internal DecoderModel(DecoderConfig config, PassSettings settings)
        : base(nameof(DecoderModel))
    {
        _settings = settings;
        embed_tokens = TokenTable.Create(config.VocabSize, config.HiddenSize);
        _words = new TokenTable("model.embed_tokens", embed_tokens);
        var blocks = new DecoderBlock[config.NumLayers];
        for (int l = 0; l < blocks.Length; l++)
        {
            blocks[l] = new DecoderBlock(config, l);
        }

        layers = new ModuleList<DecoderBlock>(blocks);
        norm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        _rotary = new RotaryTable(config.Rope.InverseFrequencies(config.HeadDim), config.Rope.Multiplier);
        RegisterComponents();
    }

    /// <summary>The word embedding, which is the output matrix too where both are tied.</summary>
    public Embedding WordEmbedding => embed_tokens;

    /// <summary>The word embedding as the stack reads it.</summary>
    internal TokenTable Words => _words;

    /// <summary>What each attention's queries see, in the order in which caches count attentions.</summary>
    internal IEnumerable<AttentionSight> Sights => layers.Select(layer => layer.Sight);

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
        batch.Prepare(_rotary, _settings.Device);
        var hidden = _words.Rows(tensor(batch.InputIds, device: _settings.Device));
        probe?.Invoke("hidden_states.embed", hidden);
        List<RoutingDecision> decisions = [];
        for (int l = 0; l < layers.Count; l++)
        {
            DecoderBlock layer = layers[l];
            (hidden, var decision) = _settings.Run((input, sees) => layer.Forward(input, batch, sees), hidden, probe);
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
