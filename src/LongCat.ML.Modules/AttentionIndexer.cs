using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The indexer of LongCat Sparse Attention (LongCat-2.0, LongCat-Flash-Lite-Sparse): chooses the earlier tokens that a query sees, for both attentions of a layer.
/// </summary>
/// <remarks>
/// State: <c>wq_b.weight</c> [heads·dim, q_rank], <c>wk.weight</c> [dim, hidden], <c>k_norm.weight</c> [dim], <c>weights_proj.weight</c> [heads, hidden].
/// The score of key j for the query at t is Σ_h w_h(t) · ReLU(q_h(t) · k(j)); the published factors (heads^-½ · dim^-½, and √(hidden/q_rank) on the query's latent)
/// are positive and leave the order as it is, so they are left out. A choice has no gradient: the indexer is frozen (its own training, a distillation, is not published).
/// </remarks>
public sealed class AttentionIndexer : nn.Module
{
    private readonly Projection wq_b;
    private readonly Projection wk;
    private readonly RmsNorm k_norm;
    private readonly Projection weights_proj;
    private readonly AttentionIndexerConfig _config;
    private readonly int _rope;

    /// <summary>Creates the indexer.</summary>
    /// <param name="config">The model's settings.</param>
    /// <exception cref="ArgumentException">The config has no indexer.</exception>
    public AttentionIndexer(LongcatFlashConfig config)
        : base(nameof(AttentionIndexer))
    {
        _config = config.Indexer ?? throw new ArgumentException("the config has no indexer (index_n_heads is not set)", nameof(config));
        _rope = config.QkRopeHeadDim;
        wq_b = new Projection(config.QLoraRank, (long)_config.NumHeads * _config.HeadDim, hasBias: false, ProjectionPrecision.Half);
        wk = new Projection(config.HiddenSize, _config.HeadDim, hasBias: false, ProjectionPrecision.Half);
        k_norm = new RmsNorm(_config.HeadDim, config.RmsNormEps);
        weights_proj = new Projection(config.HiddenSize, _config.NumHeads, hasBias: false, ProjectionPrecision.Full);
        RegisterComponents();
        foreach (var parameter in parameters())
        {
            parameter.requires_grad = false;
        }
    }

    /// <summary>
    /// The keys with the highest scores that a query sees beside the forced ones, by the rule of <see cref="AttentionIndexerConfig"/>: of equal scores the lower position first, NaN last.
    /// </summary>
    /// <param name="scores">The scores of positions 0 to <paramref name="position"/> (more are not read; those of forced keys count for nothing).</param>
    /// <param name="position">The query's position in its document.</param>
    /// <param name="config">The rule.</param>
    /// <returns>Positions, ascending; all up to the query's while there are no more than <see cref="AttentionIndexerConfig.TopK"/>.</returns>
    /// <exception cref="ArgumentException">There are fewer scores than positions.</exception>
    public static int[] Choose(ReadOnlySpan<float> scores, int position, AttentionIndexerConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        if (position < config.TopK)
        {
            return [.. Enumerable.Range(0, position + 1)];
        }

        if (scores.Length <= position)
        {
            throw new ArgumentException($"{scores.Length} scores are given, a query at position {position} needs {position + 1}", nameof(scores));
        }

        int local = position - config.LocalTokens + 1;
        var candidates = new (float Score, int Position)[local - config.InitTokens];
        for (int i = 0; i < candidates.Length; i++)
        {
            candidates[i] = (scores[config.InitTokens + i], config.InitTokens + i);
        }

        // CompareTo puts NaN below all numbers and takes 0 and -0 for equal.
        Array.Sort(candidates, (a, b) => b.Score.CompareTo(a.Score) is not 0 and var order ? order : a.Position.CompareTo(b.Position));
        return
        [
            .. Enumerable.Range(0, config.InitTokens),
            .. candidates.Take(config.TopK - config.InitTokens - config.LocalTokens).Select(c => c.Position).Order(),
            .. Enumerable.Range(local, config.LocalTokens),
        ];
    }

    /// <summary>Chooses for every token of the batch, within its document.</summary>
    /// <param name="input">[B·S, hidden]: the attention's input, already normed.</param>
    /// <param name="queryLatent">[B·S, q_rank]: the attention's normed query latent.</param>
    /// <param name="batch">The geometry of the rows, prepared.</param>
    /// <returns>A mask [B, 1, S, S] (0 or -∞) of the caller's dispose scope; null where every query sees all tokens before it.</returns>
    internal Tensor? Mask(Tensor input, Tensor queryLatent, SequenceBatch batch)
    {
        if (batch.Positions.Max() < _config.TopK)
        {
            return null;
        }

        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        int tokens = batch.Tokens, rows = batch.Rows, columns = batch.Columns;
        var query = Rotated(wq_b.forward(queryLatent).view(tokens, _config.NumHeads, _config.HeadDim)).view(rows, columns, _config.NumHeads, _config.HeadDim);
        var key = Rotated(k_norm.forward(wk.forward(input)).unsqueeze(1)).view(rows, columns, _config.HeadDim).transpose(1, 2);
        var weights = weights_proj.forward(input).view(rows, columns, _config.NumHeads);
        var scores = zeros(rows, columns, columns, device: input.device);
        for (int head = 0; head < _config.NumHeads; head++)
        {
            scores.add_(query.select(2, head).bmm(key).relu().mul(weights.narrow(2, head, 1)));
        }

        ReadOnlySpan<float> values = MemoryMarshal.Cast<byte, float>(scores.cpu().contiguous().bytes);
        var mask = new float[tokens * columns];
        Array.Fill(mask, float.NegativeInfinity);
        for (int i = 0; i < tokens; i++)
        {
            int first = (i * columns) + batch.DocumentStart[i];
            foreach (int position in Choose(values.Slice(first, batch.Positions[i] + 1), batch.Positions[i], _config))
            {
                mask[first + position] = 0;
            }
        }

        return tensor(mask, [rows, 1, columns, columns], device: input.device).MoveToOuterDisposeScope();

        Tensor Rotated(Tensor perHead) => _rope == _config.HeadDim
            ? RotaryTable.Apply(perHead, batch.Cosine!, batch.Sine!)
            : cat([RotaryTable.Apply(perHead.narrow(2, 0, _rope), batch.Cosine!, batch.Sine!), perHead.narrow(2, _rope, _config.HeadDim - _rope)], 2);
    }
}
