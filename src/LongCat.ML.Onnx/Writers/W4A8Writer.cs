using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>
/// Linear layers with 4-bit weights over activations in 8 bits: a norm or SiLU·mul rounds its result once for all its readers, any other input is rounded by the product that
/// reads it. The output head has 8-bit weights. Routers, embeddings, n-gram projections and the heads' key and value matrices of latent attention stay in the checkpoint's precision.
/// </summary>
internal sealed class W4A8Writer(GraphBuilder graph, CheckpointWeights weights, W4A8Plan plan) : ModelWriter(graph, weights)
{
    /// <summary>Rows of the head are few and its errors go straight to the logits: 15 bits and a sign cost nothing where reading weights takes the time.</summary>
    private const int HeadActivationBits = 16;

    public override Value TokenEmbedding(Value ids, string table, bool tied, string output) =>
        tied && plan.Options.Head == HeadPrecision.Int8 ? Graph.Int8Embedding(ids, plan.Int8(Graph, table), output) : base.TokenEmbedding(ids, table, tied, output);

    public override Value Head(Value rows, string matrix, bool tied, string output) =>
        plan.Options.Head == HeadPrecision.Int8 ? Graph.W8A8MatMul(rows, plan.Int8(Graph, matrix), HeadActivationBits, output) : base.Head(rows, matrix, tied, output);

    public override Value NGramTable(string name) => plan.Options.NGramTables == TablePrecision.Int8 ? plan.Table(Graph, name) : base.NGramTable(name);

    protected override LinearInput WriteNorm(SiteTrace site, Value weight, Value x, double epsilon)
    {
        SiteTrace known = plan.Trace(site.Name);
        return known.ReadInBytes
            ? new(
                site,
                known.ReadAsFloat ? new Value(site.Name) : Value.None,
                Graph.RmsNormQuantize(x, weight, epsilon, plan.Format, plan.ActivationScale(site.Name), site.Name, known.ReadAsFloat))
            : new(site, Graph.RmsNorm(x, weight, epsilon, site.Name));
    }

    protected override LinearInput WriteSiluMul(SiteTrace site, Value gate, Value up) =>
        new(site, Value.None, Graph.SiluMulQuantize(gate, up, plan.Format, plan.ActivationScale(site.Name), site.Name));

    protected override Value WriteLinear(LinearInput x, string weight, Value? bias, Value? residual, string output)
    {
        W4A8Weights matrix = plan.Matrix(Graph, weight, x.Site.Name);
        return x.Rows is { } rows
            ? Graph.W4A8MatMul(rows, matrix, output, bias, residual)
            : Graph.W4A8MatMul(x.Value, plan.ActivationScale(x.Site.Name), matrix, output, bias, residual);
    }

    protected override Value WriteMixture(LinearInput x, MixtureTensors tensors, ExpertMixtureAttributes attributes, string name)
    {
        if (!plan.Options.Experts)
        {
            return WriteFloatMixture(x, tensors, attributes, name);
        }

        return Graph.W4A8ExpertMixture(
            x.Value,
            (Vector(tensors.Router), tensors.CorrectionBias is { } bias ? Vector(bias) : Value.None),
            (Stack(tensors.Gate, ExpertOf), Stack(tensors.Up, ExpertOf), Stack(tensors.Down, InnerOf)),
            (Weights.Columns(tensors.Gate.Parts[0]), Weights.Columns(tensors.Down.Parts[0])),
            plan.Format,
            attributes,
            NextSparseExperts(),
            name);

        W4A8Stack Stack(ExpertStack stack, Func<SiteTrace, int, string> site) => plan.Stack(Graph, stack, expert => site(x.Site, expert));
    }
}
