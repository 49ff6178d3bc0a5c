using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Onnx.Adapters;

/// <summary>
/// MLPs of graphs for sparse verification. One operator has their up and down projection, between which no adapter can stand: an MLP that takes adapters of either becomes the products that
/// it would be in another export, over the same weights, and leaves no channels out.
/// </summary>
public sealed partial class AdapterGraph
{
    private const string SparseMlpOperator = "SparseGatedMlp";
    private const int UpInput = 2, DownProjectionInput = 3, UpBiasInput = 6, DownBiasInput = 7, ResidualInput = 8;

    /// <summary>The modules that are inside such an operator.</summary>
    private static HashSet<string> Folded(ModelProto model) =>
        [.. model.Graph.Node.Where(IsSparseMlp).SelectMany(node => (string[])[ModuleOf(node, node.Input[UpInput]), ModuleOf(node, node.Input[DownProjectionInput])])];

    private static bool IsSparseMlp(NodeProto node) => node.Domain == GraphBuilder.LongCatDomain && node.OpType == SparseMlpOperator;

    /// <summary>The graph with products of their own in the place of the operators that hold one of these modules.</summary>
    private static ModelProto Unfold(ModelProto model, IReadOnlySet<string> modules)
    {
        ModelProto unfolded = model.Clone();
        NodeProto[] nodes = [.. unfolded.Graph.Node.SelectMany(node => IsSparseMlp(node) && (Holds(node, UpInput) || Holds(node, DownProjectionInput)) ? Products(node) : [node])];
        HashSet<string> read = [.. nodes.SelectMany(node => node.Input)];
        TensorProto[] kept = [.. unfolded.Graph.Initializer.Where(tensor => read.Contains(tensor.Name))];
        unfolded.Graph.Node.Clear();
        unfolded.Graph.Node.AddRange(nodes);
        unfolded.Graph.Initializer.Clear();
        unfolded.Graph.Initializer.AddRange(kept);
        return unfolded;

        bool Holds(NodeProto node, int input) => modules.Contains(ModuleOf(node, node.Input[input]));
    }

    private static NodeProto[] Products(NodeProto mlp)
    {
        string y = mlp.Output[0], up = $"{y}.up", inner = $"{y}.inner";
        NodeProto multiply = new() { Name = inner, OpType = "Mul", Domain = GraphBuilder.OnnxDomain };
        multiply.Input.AddRange([mlp.Input[1], up]);
        multiply.Output.Add(inner);
        return
        [
            Product([mlp.Input[0], mlp.Input[UpInput], Optional(UpBiasInput)], up, "intermediate_size"),
            multiply,
            Product([inner, mlp.Input[DownProjectionInput], Optional(DownBiasInput), Optional(ResidualInput)], y, "hidden_size"),
        ];

        string Optional(int input) => input < mlp.Input.Count ? mlp.Input[input] : "";

        NodeProto Product(string[] inputs, string output, string outputs)
        {
            NodeProto product = new() { Name = output, OpType = "MatMul", Domain = GraphBuilder.LongCatDomain };
            product.Input.AddRange(inputs.AsEnumerable().Reverse().SkipWhile(input => input.Length == 0).Reverse());
            product.Output.Add(output);
            product.Attribute.AddRange([NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", Attribute(mlp, outputs)!.Value)]);
            return product;
        }
    }
}
