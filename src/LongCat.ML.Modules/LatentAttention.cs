using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Multi-head latent attention (LongCat-Flash, 2509.01322, section on variance alignment for both scales): queries and keys go through low-rank latents,
/// one rotary key is shared by all heads, and attention is causal within each packed document, over all of it or in the streaming pattern of the config (2512.23966).
/// </summary>
/// <remarks>
/// State: <c>q_a_proj</c>, <c>q_a_layernorm</c>, <c>q_b_proj</c>, <c>kv_a_proj_with_mqa</c>, <c>kv_a_layernorm</c>, <c>kv_b_proj</c>, <c>o_proj</c>, each <c>.weight</c>; <c>indexer</c> in the first
/// attention of a layer where the config has one (<see cref="AttentionIndexer"/>).
/// The query scale √(hidden/q_rank) multiplies nope and rope parts alike, so it is folded into the softmax scale; √(hidden/kv_rank) multiplies the normed latent, not the rotary key.
/// </remarks>
public sealed class LatentAttention : nn.Module
{
    private readonly Projection q_a_proj;
    private readonly RmsNorm q_a_layernorm;
    private readonly Projection q_b_proj;
    private readonly Projection kv_a_proj_with_mqa;
    private readonly RmsNorm kv_a_layernorm;
    private readonly Projection kv_b_proj;
    private readonly Projection o_proj;
    private readonly AttentionIndexer? indexer;
    private readonly int _heads;
    private readonly int _nope;
    private readonly int _rope;
    private readonly int _value;
    private readonly int _rank;
    private readonly float _scoreScale;
    private readonly float _latentScale;
    private readonly AttentionSight _sight;

    /// <summary>Creates the attention of one sub-layer.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="attention">Which one it is, as caches count them (2 · layer + sub-layer): whether it is streaming, and whether it has the indexer of a config that has one (the first of a layer), follows from it. Null for the draft head's, which never streams and has an indexer.</param>
    public LatentAttention(LongcatFlashConfig config, int? attention = null)
        : base(nameof(LatentAttention))
    {
        _heads = config.NumAttentionHeads;
        _nope = config.QkNopeHeadDim;
        _rope = config.QkRopeHeadDim;
        _value = config.VHeadDim;
        _rank = config.KvLoraRank;
        long hidden = config.HiddenSize;
        q_a_proj = new Projection(hidden, config.QLoraRank);
        q_a_layernorm = new RmsNorm(config.QLoraRank, config.LatentNormEps);
        q_b_proj = new Projection(config.QLoraRank, _heads * (_nope + _rope));
        kv_a_proj_with_mqa = new Projection(hidden, _rank + _rope);
        kv_a_layernorm = new RmsNorm(_rank, config.LatentNormEps);
        kv_b_proj = new Projection(_rank, _heads * (_nope + _value), hasBias: false, ProjectionPrecision.Half);
        o_proj = new Projection(_heads * _value, hidden);
        indexer = config.Indexer is not null && (attention ?? 0) % 2 == 0 ? new AttentionIndexer(config) : null;
        _scoreScale = (float)(config.QueryScale * config.SoftmaxScale);
        _latentScale = (float)config.LatentScale;
        _sight = new AttentionSight(config, attention);
        RegisterComponents();
    }

    /// <summary>What its queries see.</summary>
    internal AttentionSight Sight => _sight;

    /// <summary>Attends within each document of the batch.</summary>
    /// <param name="input">[B·S, hidden], already normed.</param>
    /// <param name="batch">The geometry of the rows.</param>
    /// <returns>[B·S, hidden], owned by the caller's dispose scope.</returns>
    internal Tensor Forward(Tensor input, SequenceBatch batch)
    {
        Tensor? chosen = null;
        return Forward(input, batch, ref chosen);
    }

    /// <summary>Attends within each document of the batch to the keys that an indexer has chosen.</summary>
    /// <param name="input">[B·S, hidden], already normed.</param>
    /// <param name="batch">The geometry of the rows.</param>
    /// <param name="chosen">The mask of the keys that the layer's indexer has chosen; an attention with an indexer makes it, for itself and for its successor. Null: all keys.</param>
    /// <returns>[B·S, hidden], like the mask owned by the caller's dispose scope.</returns>
    internal Tensor Forward(Tensor input, SequenceBatch batch, ref Tensor? chosen)
    {
        using var scope = NewDisposeScope();
        int tokens = batch.Tokens, rows = batch.Rows, columns = batch.Columns;
        Tensor cosine = batch.Cosine!, sine = batch.Sine!;

        var queryLatent = q_a_layernorm.forward(q_a_proj.forward(input));
        chosen = indexer is null ? chosen : indexer.Mask(input, queryLatent, batch)?.MoveToOuterDisposeScope();
        var query = q_b_proj.forward(queryLatent).view(tokens, _heads, _nope + _rope);
        query = cat([query.narrow(2, 0, _nope), RotaryTable.Apply(query.narrow(2, _nope, _rope), cosine, sine)], 2);

        var compressed = kv_a_proj_with_mqa.forward(input);
        var latent = kv_a_layernorm.forward(compressed.narrow(1, 0, _rank)).mul(_latentScale);
        var rotaryKey = RotaryTable.Apply(compressed.narrow(1, _rank, _rope).unsqueeze(1), cosine, sine);
        var keyValue = kv_b_proj.forward(latent).view(tokens, _heads, _nope + _value);
        var key = cat([keyValue.narrow(2, 0, _nope), rotaryKey.expand(tokens, _heads, _rope)], 2);

        var mixed = _sight.Attend(ByHead(query).mul(_scoreScale), ByHead(key), ByHead(keyValue.narrow(2, _nope, _value)), batch, chosen);
        var joined = mixed.view(rows, _heads, columns, _value).transpose(1, 2).reshape(tokens, _heads * _value);
        return o_proj.forward(joined).MoveToOuterDisposeScope();

        Tensor ByHead(Tensor perToken) =>
            perToken.reshape(rows, columns, _heads, perToken.shape[2]).transpose(1, 2).reshape(rows * _heads, columns, perToken.shape[2]);
    }
}
