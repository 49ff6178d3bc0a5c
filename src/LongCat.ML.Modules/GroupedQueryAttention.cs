using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Grouped-query attention (2305.13245) with rotary positions: groups of query heads share a key and value head; queries and keys may be normed per head before
/// the rotation, and a query may see only a window of the tokens before it, or what the config's streaming pattern leaves (2512.23966). Attention is causal within each packed document.
/// </summary>
/// <remarks>State: <c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c>, <c>o_proj</c> (<c>.weight</c>, and <c>.bias</c> where the family has it), <c>q_norm.weight</c> and <c>k_norm.weight</c> where it norms heads.</remarks>
public sealed class GroupedQueryAttention : nn.Module
{
    private readonly Projection q_proj;
    private readonly Projection k_proj;
    private readonly Projection v_proj;
    private readonly Projection o_proj;
    private readonly RmsNorm? q_norm;
    private readonly RmsNorm? k_norm;
    private readonly int _heads;
    private readonly int _keyValueHeads;
    private readonly int _dimension;
    private readonly AttentionSight _sight;
    private readonly float _scale;

    /// <summary>Creates the attention of one layer.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="layer">The layer, from 0.</param>
    public GroupedQueryAttention(DecoderConfig config, int layer)
        : base(nameof(GroupedQueryAttention))
    {
        _heads = config.NumAttentionHeads;
        _keyValueHeads = config.NumKeyValueHeads;
        _dimension = config.HeadDim;
        _sight = new AttentionSight(config, layer, config.Window(layer));
        _scale = (float)config.SoftmaxScale;
        long query = (long)_heads * _dimension, keyValue = (long)_keyValueHeads * _dimension;
        q_proj = new Projection(config.HiddenSize, query, config.QueryKeyValueBias);
        k_proj = new Projection(config.HiddenSize, keyValue, config.QueryKeyValueBias);
        v_proj = new Projection(config.HiddenSize, keyValue, config.QueryKeyValueBias);
        o_proj = new Projection(query, config.HiddenSize, config.OutputBias);
        q_norm = config.QueryKeyNorm ? new RmsNorm(_dimension, config.RmsNormEps) : null;
        k_norm = config.QueryKeyNorm ? new RmsNorm(_dimension, config.RmsNormEps) : null;
        RegisterComponents();
    }

    /// <summary>What its queries see.</summary>
    internal AttentionSight Sight => _sight;

    /// <summary>Attends within each document of the batch.</summary>
    /// <param name="input">[B·S, hidden], already normed.</param>
    /// <param name="batch">The geometry of the rows, prepared.</param>
    /// <returns>[B·S, hidden], owned by the caller's dispose scope.</returns>
    internal Tensor Forward(Tensor input, SequenceBatch batch)
    {
        using var scope = NewDisposeScope();
        long tokens = batch.Tokens, rows = batch.Rows, columns = batch.Columns, groups = _heads / _keyValueHeads;
        var query = Rotated(q_proj.forward(input).view(tokens, _heads, _dimension), q_norm);
        var key = ByHead(Rotated(k_proj.forward(input).view(tokens, _keyValueHeads, _dimension), k_norm));
        var value = ByHead(v_proj.forward(input).view(tokens, _keyValueHeads, _dimension));

        // The queries that share a key head are stacked, so keys and values need no copies: [B·kv heads, group·S, dim].
        var stacked = query.view(rows, columns, _keyValueHeads, groups, _dimension).permute(0, 2, 3, 1, 4).reshape(rows * _keyValueHeads, groups * columns, _dimension);
        var mixed = _sight.Attend(stacked.mul(_scale), key, value, batch);
        var joined = mixed.view(rows, _heads, columns, _dimension).transpose(1, 2).reshape(tokens, (long)_heads * _dimension);
        return o_proj.forward(joined).MoveToOuterDisposeScope();

        Tensor Rotated(Tensor perHead, RmsNorm? norm) => RotaryTable.ApplyToHalves(norm is null ? perHead : norm.forward(perHead), batch.Cosine!, batch.Sine!);

        Tensor ByHead(Tensor perToken) =>
            perToken.view(rows, columns, _keyValueHeads, _dimension).transpose(1, 2).reshape(rows * _keyValueHeads, columns, _dimension);
    }
}
