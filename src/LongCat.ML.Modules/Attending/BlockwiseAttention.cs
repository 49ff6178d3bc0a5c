using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Attention over tiles of queries whose backward pass computes the tiles' weights again: from forward to backward it keeps queries, keys and values, nothing that grows with the row's square
/// (2112.05682; 2205.14135 section 3). A tile leaves out the keys that none of its queries sees, so causal rows cost half of what a whole matrix costs, and streaming ones grow with the row's length.
/// </summary>
internal sealed class BlockwiseAttention : autograd.SingleTensorFunction<BlockwiseAttention>
{
    public override string Name => nameof(BlockwiseAttention);

    /// <summary>softmax(query · keyᵀ + mask) · value.</summary>
    /// <param name="query">[B·kv heads, group·S, dim], scaled; the heads that share a key head one after another.</param>
    /// <param name="key">[B·kv heads, S, dim].</param>
    /// <param name="value">[B·kv heads, S, width].</param>
    /// <param name="tiles">Which keys are seen.</param>
    /// <returns>[B·kv heads, group·S, width].</returns>
    public static Tensor Run(Tensor query, Tensor key, Tensor value, AttentionTiles tiles) => apply(query, key, value, tiles);

    /// <param name="ctx">Keeps the three tensors and the tiles.</param>
    /// <param name="vars">As <see cref="Run"/> takes them.</param>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        using var scope = NewDisposeScope();
        var (query, key, value, tiles) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor)vars[2], (AttentionTiles)vars[3]);

        // The caller's scope frees an indexer's mask before the backward pass; all else follows from the batch.
        ctx.save_for_backward(tiles.Chosen is { } chosen ? [query, key, value, chosen] : [query, key, value]);
        ctx.save_data("tiles", tiles);
        Layout layout = new(tiles, query);
        List<Tensor> results = [];
        foreach (AttentionTile tile in tiles.All())
        {
            using var inner = NewDisposeScope();
            var weights = layout.Weights(layout.Of(query, tile), tile.Gather(key), tile);
            results.Add(layout.Apart(weights.bmm(tile.Gather(value)), tile).MoveToOuterDisposeScope());
            tile.Mask.Dispose();
        }

        return layout.Together(results).MoveToOuterDisposeScope();
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var scope = NewDisposeScope();
            using var frozen = no_grad();
            List<Tensor> saved = ctx.get_saved_variables();
            var (query, key, value, tiles) = (saved[0], saved[1], saved[2], (AttentionTiles)ctx.get_data("tiles")!);
            tiles = saved.Count > 3 ? tiles.With(saved[3]) : tiles;
            Layout layout = new(tiles, query);
            var keySlope = zeros_like(key);
            var valueSlope = zeros_like(value);
            List<Tensor> querySlopes = [];
            foreach (AttentionTile tile in tiles.All())
            {
                using var inner = NewDisposeScope();
                var (queries, keys, slope) = (layout.Of(query, tile), tile.Gather(key), layout.Of(grad_output, tile));
                var weights = layout.Weights(queries, keys, tile);
                tile.Scatter(valueSlope, weights.transpose(1, 2).bmm(slope));

                // Through the softmax: dscore = w · (dw - Σ dw · w).
                var weightSlope = slope.bmm(tile.Gather(value).transpose(1, 2)).mul(weights);
                var scoreSlope = weightSlope.sub(weights.mul(weightSlope.sum(-1, keepdim: true)));
                tile.Scatter(keySlope, scoreSlope.transpose(1, 2).bmm(queries));
                querySlopes.Add(layout.Apart(scoreSlope.bmm(keys), tile).MoveToOuterDisposeScope());
                tile.Mask.Dispose();
            }

            return GradientHandover.Return(layout.Together(querySlopes), keySlope, valueSlope, null);
        }
        catch (Exception e)
        {
            BackwardFault.Keep(e);
            return GradientHandover.Return(null, null, null, null);
        }
        finally
        {
            // TorchSharp leaves it to the caller's dispose scope, which ends with the step.
            grad_output.Dispose();
        }
    }

    /// <summary>How queries of several heads lie in one tensor.</summary>
    private sealed class Layout(AttentionTiles tiles, Tensor query)
    {
        private readonly long _shared = query.shape[0];
        private readonly long _group = query.shape[1] / tiles.Columns;

        /// <summary>A tile's queries, or what belongs to them: [N, group·S, dim] to [N, group·queries, dim].</summary>
        public Tensor Of(Tensor all, AttentionTile tile) =>
            all.reshape(_shared, _group, tiles.Columns, all.shape[2]).narrow(2, tile.First, tile.Count).reshape(_shared, _group * tile.Count, all.shape[2]);

        /// <summary>[N, group·queries, dim] to [N, group, queries, dim].</summary>
        public Tensor Apart(Tensor results, AttentionTile tile) => results.view(_shared, _group, tile.Count, results.shape[2]);

        /// <summary>All tiles' results as [N, group·S, dim].</summary>
        public Tensor Together(List<Tensor> results) => cat(results, 2).reshape(_shared, _group * tiles.Columns, results[0].shape[3]);

        /// <summary>[N, group·queries, keys].</summary>
        public Tensor Weights(Tensor queries, Tensor keys, AttentionTile tile)
        {
            using var scope = NewDisposeScope();
            long seen = keys.shape[1];
            var scores = queries.bmm(keys.transpose(1, 2)).view(tiles.Rows, tiles.Heads, tile.Count, seen);
            return scores.add(tile.Mask).softmax(-1).view(_shared, _group * tile.Count, seen).MoveToOuterDisposeScope();
        }
    }
}
