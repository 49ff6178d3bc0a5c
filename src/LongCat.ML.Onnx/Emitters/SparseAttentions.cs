using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// Sparse verification (arXiv 2512.21911) in one graph: the step's inputs, a pool of block means beside every cache whose attention sees the whole context, and the blocks that one attention
/// of these hands to the next. Attentions that never see the whole context are left out: those take no more than they would.
/// </summary>
internal sealed class SparseAttentions
{
    private readonly GraphBuilder _graph;
    private readonly Dictionary<int, Value> _means = [];
    private Value _blocks = Value.None;

    /// <param name="graph">The graph; the step's inputs are added to it.</param>
    /// <param name="layout">Which attentions and mixtures there are.</param>
    public SparseAttentions(GraphBuilder graph, SparseVerificationLayout layout)
    {
        _graph = graph;
        Layout = layout;
        Inputs = new SparseInputs(
            graph.Input("sparse_rows", ElementType.Uint8, "T"),
            graph.Input("sparse_attention", ElementType.Int32, 5),
            graph.Input("sparse_anchors", ElementType.Uint8, layout.Attentions),
            graph.Input("sparse_tau", ElementType.Float, 1),
            layout.MoeLayers == 0 ? Value.None : graph.Input("sparse_experts", ElementType.Int32, 1),
            layout.MoeLayers == 0 ? Value.None : graph.Input("sparse_expert_betas", ElementType.Float, layout.MoeLayers, layout.TopK - 1));
    }

    public SparseVerificationLayout Layout { get; }

    public SparseInputs Inputs { get; }

    /// <summary>The inputs of all means; behind those of the caches.</summary>
    public void EmitMeans()
    {
        for (int attention = 0; attention < Layout.Attentions; attention++)
        {
            if (Layout.MeanWidths[attention] > 0)
            {
                _means.Add(attention, _graph.Input($"block_means.{attention}", ElementType.Float, "pages", Layout.MeanWidths[attention]));
            }
        }
    }

    /// <summary>What an attention takes; it hands its blocks to the next one that is asked for. Null where it never is sparse.</summary>
    public SparseAttentionInputs? Of(int attention)
    {
        if (!_means.TryGetValue(attention, out Value means))
        {
            return null;
        }

        SparseAttentionInputs inputs = new(Inputs, attention, means, _blocks);
        _blocks = new Value(inputs.BlocksOutput);
        return inputs;
    }

    /// <summary>The outputs of all means; after the attentions.</summary>
    public void EmitMeansOutputs()
    {
        foreach (int attention in _means.Keys)
        {
            _graph.Output(new Value($"block_means_out.{attention}"), ElementType.Float, "pages", Layout.MeanWidths[attention]);
        }
    }
}
