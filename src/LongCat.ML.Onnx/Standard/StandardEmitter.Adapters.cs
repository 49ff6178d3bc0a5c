using LongCat.ML.Onnx.Adapters;

namespace LongCat.ML.Onnx;

/// <summary>Adapters as inputs, beside the products that they change: <c>x · A · B</c> is added, of rank 0 where nobody gives A and B.</summary>
internal abstract partial class StandardEmitter
{
    /// <summary>A [K, lora_r] and B [lora_r, N] of a module.</summary>
    protected static (Value A, Value B) EmitAdapterInputs(GraphBuilder graph, string module, long inFeatures, long outFeatures) =>
        (graph.EmptyInput(AdapterNames.A(module), (inFeatures, AdapterNames.Rank), inFeatures, 0), graph.EmptyInput(AdapterNames.B(module), (AdapterNames.Rank, outFeatures), 0, outFeatures));

    /// <summary>What an adapter of a module adds to its product.</summary>
    protected static Value EmitChange(GraphBuilder graph, CheckpointWeights weights, string module, Value x, string output)
    {
        (Value a, Value b) = EmitAdapterInputs(graph, module, weights.Columns($"{module}.weight"), weights.RowCount($"{module}.weight"));
        return graph.PlainMatMul(graph.PlainMatMul(x, a, $"{output}.lora_A"), b, $"{output}.lora_B");
    }

    /// <summary>A module's product with what an adapter adds; the product itself where the export has no inputs for it.</summary>
    protected static Value EmitAdapted(GraphBuilder graph, CheckpointWeights weights, string module, Value x, Value product) =>
        weights.AdapterInputs.Contains(module) ? graph.Add(product, EmitChange(graph, weights, module, x, product.Name), $"{product.Name}.adapted") : product;
}
