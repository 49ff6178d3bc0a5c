using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The stack below the output matrix: embedding (with n-grams where the config has them), logical layers, final norm, draft head.</summary>
/// <remarks>State, below <c>model.</c>: <c>embed_tokens</c>, <c>ngram_embeddings</c>, <c>layers.{l}</c>, <c>norm</c>, <c>mtp</c>.</remarks>
public sealed class LongcatFlashModel : nn.Module
{
    private readonly Embedding embed_tokens;
    private readonly NGramEmbedding? ngram_embeddings;
    private readonly ModuleList<DecoderLayer> layers;
    private readonly RmsNorm norm;
    private readonly MultiTokenPrediction? mtp;
    private readonly RotaryTable _rotary;
    private readonly TokenTable _words;
    private readonly PassSettings _settings;

    /// <summary>Creates the stack with random weights.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="draftHead">Whether to build the draft head.</param>
    /// <param name="settings">Shared with the model around it.</param>
    internal LongcatFlashModel(LongcatFlashConfig config, bool draftHead, PassSettings settings)
        : base(nameof(LongcatFlashModel))
    {
        _settings = settings;
        embed_tokens = TokenTable.Create(config.VocabSize, config.HiddenSize);
        _words = new TokenTable("model.embed_tokens", embed_tokens);
        ngram_embeddings = config.NGram is null ? null : new NGramEmbedding(config);
        var blocks = new DecoderLayer[config.NumLayers];
        for (int l = 0; l < blocks.Length; l++)
        {
            blocks[l] = new DecoderLayer(config, l);
        }

        layers = new ModuleList<DecoderLayer>(blocks);
        norm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        mtp = draftHead ? new MultiTokenPrediction(config) : null;
        _rotary = new RotaryTable(config.Rope.InverseFrequencies(config.QkRopeHeadDim), config.Rope.Multiplier);
        RegisterComponents();
    }

    /// <summary>The n-gram embedding, or null.</summary>
    public NGramEmbedding? NGram => ngram_embeddings;

    /// <summary>The draft head, or null.</summary>
    public MultiTokenPrediction? DraftHead => mtp;

    /// <summary>The tables as the stack reads them: word embedding, then n-gram tables.</summary>
    internal IEnumerable<TokenTable> Tables => ngram_embeddings is null ? [_words] : [_words, .. ngram_embeddings.Tables];

    /// <summary>What each attention's queries see, in the order in which caches count attentions; the draft head's is not among them.</summary>
    internal IEnumerable<AttentionSight> Sights => layers.SelectMany(layer => layer.Sights);

    /// <summary>Logical layers.</summary>
    public int LayerCount => layers.Count;

    /// <summary>A logical layer.</summary>
    /// <param name="index">0 to <see cref="LayerCount"/> - 1.</param>
    /// <returns>The layer, owned by this module.</returns>
    public DecoderLayer Layer(int index) => layers[index];

    /// <summary>Runs the stack.</summary>
    /// <param name="batch">The tokens.</param>
    /// <param name="probe">Sees intermediate results, or null.</param>
    /// <returns>The result; its tensors belong to the caller's dispose scope.</returns>
    internal ForwardResult Forward(SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        batch.Prepare(_rotary, _settings.Device);
        var hidden = _words.Rows(tensor(batch.InputIds, device: _settings.Device));
        if (ngram_embeddings is not null)
        {
            hidden = ngram_embeddings.Forward(hidden, batch);
        }

        probe?.Invoke("hidden_states.embed", hidden);
        var decisions = new RoutingDecision[layers.Count];
        for (int l = 0; l < layers.Count; l++)
        {
            DecoderLayer layer = layers[l];
            (hidden, var decision) = _settings.Run((input, sees) => layer.Forward(input, batch, sees), hidden, probe);
            decisions[l] = decision!;
            probe?.Invoke($"hidden_states.layer.{l}", hidden);
            decisions[l].Probabilities.MoveToOuterDisposeScope();
            decisions[l].Weights.MoveToOuterDisposeScope();
        }

        var normed = norm.forward(hidden);
        probe?.Invoke("hidden_states.norm", normed);
        return new ForwardResult(normed.MoveToOuterDisposeScope(), hidden.MoveToOuterDisposeScope(), decisions);
    }

    /// <summary>Runs the draft head over the same rows.</summary>
    /// <param name="hidden">[B·S, hidden] after the final norm.</param>
    /// <param name="batch">The tokens; already prepared when it is the batch of the forward pass.</param>
    /// <param name="probe">Sees intermediate results, or null.</param>
    /// <returns>[B·S, hidden] after the head's norm.</returns>
    internal Tensor ForwardDraft(Tensor hidden, SequenceBatch batch, ActivationProbe? probe)
    {
        var head = mtp ?? throw new InvalidOperationException("the model has no draft head (num_nextn_predict_layers is 0, or the checkpoint has no model.mtp tensors)");
        using var scope = NewDisposeScope();
        batch.Prepare(_rotary, _settings.Device);
        return head.Forward(_words.Rows(tensor(batch.NextIds(), device: _settings.Device)), hidden, batch, probe).MoveToOuterDisposeScope();
    }
}
