using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>Linear layers in floating point. With <paramref name="probes"/> the graph also puts out the value of every site (and of every mixture who chose what), for calibration.</summary>
internal sealed class FloatWriter(GraphBuilder graph, CheckpointWeights weights, bool probes = false) : ModelWriter(graph, weights)
{
    private readonly List<(SiteTrace Input, long TopK, int Width)> _mixtures = [];

    public override void Complete()
    {
        if (!probes)
        {
            return;
        }

        foreach (SiteTrace site in Sites.Where(site => site.Parent is null))
        {
            Graph.Output(new Value(site.Name), ElementType.Float, "T", site.Channels);
        }

        foreach ((SiteTrace input, long topK, int width) in _mixtures)
        {
            Graph.Output(new Value(SelectedOf(input)), ElementType.Int32, "T", topK);
            Graph.Output(new Value(InnerOf(input)), ElementType.Float, "T", topK, width);
        }
    }

    protected override bool SkipsChannels => true;

    protected override LinearInput WriteNorm(SiteTrace site, Value weight, Value x, double epsilon) => new(site, Graph.RmsNorm(x, weight, epsilon, site.Name));

    protected override LinearInput WriteSiluMul(SiteTrace site, Value gate, Value up) => new(site, Graph.SiluMul(gate, up, site.Name));

    protected override Value WriteLinear(LinearInput x, string weight, Value? bias, Value? residual, string output) =>
        Graph.MatMul(x.Value, Projection(weight), output, bias, residual);

    protected override Value WriteMixture(LinearInput x, MixtureTensors tensors, ExpertMixtureAttributes attributes, string name)
    {
        _mixtures.Add((x.Site, attributes.TopK, Weights.Columns(tensors.Down.Parts[0])));
        return WriteFloatMixture(x, tensors, attributes, name, probes);
    }
}
