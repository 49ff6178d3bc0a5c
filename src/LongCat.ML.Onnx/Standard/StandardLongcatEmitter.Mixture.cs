using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// The mixture with zero experts. The choice (softmax over all, bias for the selection only) is made with ONNX operators; com.microsoft's MoE, which would
/// choose by softmax alone, is shown only the chosen experts: its softmax over their logits gives their weights divided by their sum, which is multiplied back.
/// MoE passes over experts of weight 0, so a token whose choice fell on zero experts costs nothing there.
/// </summary>
internal sealed partial class StandardLongcatEmitter
{
    // exp of it is 0, and a row of nothing else still has a softmax.
    private const float NotChosen = -1e30f;

    private Value EmitMixture(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, LatentStep step, string name)
    {
        int experts = config.NumRoutedExperts;
        Value rows = graph.Reshape(x, graph.Integers(-1, config.HiddenSize), $"{name}.rows");
        Value routing = graph.MatMulTransposed(rows, Weight(graph, weights, $"{prefix}.router.classifier.weight"), $"{name}.routing");
        Value probabilities = graph.Softmax(routing, $"{name}.probabilities");
        Value biased = graph.Add(probabilities, Weight(graph, weights, $"{prefix}.router.e_score_correction_bias"), $"{name}.biased");
        (_, Value chosen) = graph.TopK(biased, config.MoeTopK, $"{name}.chosen");
        Value weight = graph.ScatterElements(
            graph.Binary("Mul", probabilities, graph.Number(0), $"{name}.none"),
            chosen,
            graph.GatherElements(probabilities, chosen, $"{name}.chosen.weights"),
            $"{name}.weights");
        Value realWeight = weight;
        Value realRouting = routing;
        Value zeroSum = Value.None;
        if (config.NumZeroExperts > 0)
        {
            Value[] parts = graph.Split(weight, [experts, config.NumZeroExperts], $"{name}.weights.real", $"{name}.weights.zero");
            realWeight = parts[0];
            realRouting = graph.Slice(routing, graph.Integers(0), graph.Integers(experts), 1, $"{name}.routing.real");
            zeroSum = graph.SumLast(parts[1], $"{name}.weights.zero.sum");
        }

        Value shown = graph.Where(
            graph.Binary("Greater", realWeight, graph.Number(0), $"{name}.is_chosen"), realRouting, graph.Number(NotChosen), $"{name}.routing.shown");
        Value mixed = graph.MixtureOfExperts(rows, shown, GateUp(graph, weights, prefix), Down(graph, weights, prefix), Math.Min(config.MoeTopK, experts), normalize: false, $"{name}.experts");
        Value output = graph.Binary("Mul", mixed, Scale(graph.SumLast(realWeight, $"{name}.weights.real.sum")), $"{name}.real");
        if (zeroSum != Value.None && config.ZeroExpertType == ZeroExpertType.Identity)
        {
            output = graph.Add(output, graph.Binary("Mul", rows, Scale(zeroSum), $"{name}.zero"), $"{name}.sum");
        }

        return graph.Reshape(output, step.Hidden, name);

        Value Scale(Value sum) => graph.Binary("Mul", sum, graph.Number((float)config.RoutedScalingFactor), $"{sum.Name}.scaled");
    }

    private Value GateUp(GraphBuilder graph, CheckpointWeights weights, string prefix) => EmitGateUp(
        graph, weights, $"{prefix}.experts.gate_up_proj.weight", config.NumRoutedExperts, config.ExpertFfnHiddenSize, config.HiddenSize,
        expert => $"{prefix}.experts.{expert}.gate_proj.weight",
        expert => $"{prefix}.experts.{expert}.up_proj.weight");

    private Value Down(GraphBuilder graph, CheckpointWeights weights, string prefix)
    {
        string key = $"{prefix}.experts.down_proj.weight";
        IEnumerable<RowRange> rows = Enumerable.Range(0, config.NumRoutedExperts).Select(expert => weights.AllRows($"{prefix}.experts.{expert}.down_proj.weight"));
        return graph.Weight(key, weights.Rows(key, [config.NumRoutedExperts, config.HiddenSize, config.ExpertFfnHiddenSize], rows));
    }
}
