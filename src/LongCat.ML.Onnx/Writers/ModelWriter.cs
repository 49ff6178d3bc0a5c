using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// Writes what a graph's numbers depend on: linear layers and what makes their inputs, mixtures, embedding and output head. The emitters say what the model computes, a writer in
/// which numbers: one subclass for each. Along the way it notes the inputs of all linear layers, the sites of calibration.
/// </summary>
/// <remarks>One writer for one graph.</remarks>
internal abstract class ModelWriter(GraphBuilder graph, CheckpointWeights weights)
{
    private readonly List<SiteTrace> _sites = [];
    private int _sparseMixtures;
    private int _sparseMlps;

    public GraphBuilder Graph { get; } = graph;

    public CheckpointWeights Weights { get; } = weights;

    /// <summary>What the graph is told about sparse rows; null where it is not written for sparse verification.</summary>
    public SparseInputs? Sparse { get; set; }

    /// <summary>The sites so far, in the graph's order.</summary>
    public IReadOnlyList<SiteTrace> Sites => _sites;

    /// <summary>The RMS norm of <paramref name="x"/> as the input of linear layers.</summary>
    public LinearInput Norm(string weight, Value x, double epsilon, string name) => WriteNorm(Open(new SiteTrace(name) { Norm = weight }), Vector(weight), x, epsilon);

    /// <summary><c>silu(gate) · up</c> as the input of linear layers.</summary>
    public LinearInput SiluMul(Value gate, Value up, string name) => WriteSiluMul(Open(new SiteTrace(name)), gate, up);

    /// <summary>Any other value as the input of linear layers.</summary>
    public LinearInput Input(Value x) => new(Open(new SiteTrace(x.Name)), x);

    /// <returns><c>x · weightᵀ (+ bias) (+ residual)</c>.</returns>
    public Value Linear(LinearInput x, string module, string output, bool bias = false, Value? residual = null)
    {
        string weight = $"{module}.weight";
        x.Site.ReadBy(weight, Weights.Columns(weight));
        return WriteLinear(x, weight, bias ? Vector($"{module}.bias") : null, residual, output);
    }

    /// <returns><c>residual + down(silu(gate(x)) · up(x))</c> of the module's <c>gate_proj</c>, <c>up_proj</c> and <c>down_proj</c>.</returns>
    public Value GatedMlp(LinearInput x, string module, Value residual, string name, bool bias)
    {
        string up = $"{module}.up_proj", down = $"{module}.down_proj";
        Value gate = Linear(x, $"{module}.gate_proj", $"{name}.gate", bias);
        if (Sparse is not { } sparse || !SkipsChannels)
        {
            LinearInput inner = SiluMul(gate, Linear(x, up, $"{name}.up", bias), $"{name}.inner");
            return Linear(inner, down, $"{name}.output", bias, residual);
        }

        // The same sites as above: who reads what is asked of the float form alone.
        x.Site.ReadBy($"{up}.weight", Weights.Columns($"{up}.weight"));
        Open(new SiteTrace($"{name}.inner")).ReadBy($"{down}.weight", Weights.Columns($"{down}.weight"));
        _sparseMlps++;
        SparseGatedMlpInputs inputs = new(
            x.Value,
            Graph.Silu(gate, $"{name}.activation"),
            Projection($"{up}.weight"),
            Projection($"{down}.weight"),
            Graph.Weight($"{up}.weight.channels", Weights.Channels($"{up}.weight", columns: false)),
            Graph.Weight($"{down}.weight.channels", Weights.Channels($"{down}.weight", columns: true)),
            bias ? Vector($"{up}.bias") : Value.None,
            bias ? Vector($"{down}.bias") : Value.None,
            residual,
            sparse.Rows,
            sparse.Threshold);
        return Graph.SparseGatedMlp(inputs, (Weights.Columns($"{up}.weight"), Weights.Columns($"{down}.weight")), $"{name}.output");
    }

    /// <summary>A linear layer of an indexer, whose result decides choices: never in integers, in the export's own float precision or in float32.</summary>
    /// <returns><c>x · weightᵀ</c>.</returns>
    public Value FloatLinear(LinearInput x, string module, string output, bool wide = false)
    {
        string weight = $"{module}.weight";
        x.Site.ReadByRouter(weight, Weights.Columns(weight));
        return Graph.MatMul(x.Value, wide ? Graph.Weight(weight, Weights.Float32Projection(weight)) : Projection(weight), output);
    }

    /// <summary>A mixture of experts over <paramref name="x"/>.</summary>
    public Value Mixture(LinearInput x, MixtureTensors tensors, ExpertMixtureAttributes attributes, string name)
    {
        x.Site.ReadByRouter(tensors.Router, Weights.Columns(tensors.Router));
        if (attributes is { ZeroExperts: > 0, ZeroExpertType: "identity" })
        {
            // A zero expert gives its input back as it is.
            x.Site.Fix();
        }

        for (int expert = 0; expert < attributes.Experts; expert++)
        {
            SiteTrace input = Open(new SiteTrace(ExpertOf(x.Site, expert)) { Parent = x.Site.Name, Expert = expert });
            input.AddWeight(tensors.Gate.Parts[expert], Weights.Columns(tensors.Gate.Parts[expert]));
            input.AddWeight(tensors.Up.Parts[expert], Weights.Columns(tensors.Up.Parts[expert]));
            SiteTrace inner = Open(new SiteTrace(InnerOf(x.Site, expert)) { Parent = InnerOf(x.Site), Expert = expert });
            inner.AddWeight(tensors.Down.Parts[expert], Weights.Columns(tensors.Down.Parts[expert]));
        }

        return WriteMixture(x, tensors, attributes, name);
    }

    /// <summary>Rows of the embedding table, float32 [T, hidden]. The output head reads the same table where it is tied.</summary>
    public virtual Value TokenEmbedding(Value ids, string table, bool tied, string output)
    {
        Value stored = Matrix(table);
        return Weights.MatrixType == ElementType.Float
            ? Graph.Gather(stored, ids, output)
            : Graph.Cast(Graph.Gather(stored, ids, $"{output}.stored"), ElementType.Float, output);
    }

    /// <summary>The logits of <paramref name="rows"/>. A tied head is the embedding's own table.</summary>
    public virtual Value Head(Value rows, string matrix, bool tied, string output) => Graph.MatMul(rows, tied ? Matrix(matrix) : Projection(matrix), output);

    /// <summary>A table of n-gram embeddings.</summary>
    public virtual Value NGramTable(string name) => Matrix(name);

    /// <summary>After everything else of the graph.</summary>
    public virtual void Complete()
    {
    }

    /// <returns>What the graph takes for sparse verification, with the MLPs that leave channels out.</returns>
    public SparseVerificationLayout? WithFfnLayers(SparseVerificationLayout? layout) => layout is null ? null : layout with { FfnLayers = _sparseMlps };

    /// <summary>A matrix that only MatMul and the like read.</summary>
    public Value Projection(string name) => Graph.Weight(name, Weights.Projection(name));

    /// <summary>A matrix that other operators read by rows too.</summary>
    public Value Matrix(string name) => Graph.Weight(name, Weights.Matrix(name));

    /// <summary>A norm's weight, a router's matrix or a bias, float32.</summary>
    public Value Vector(string name) => Graph.Weight(name, Weights.Float32(name));

    /// <summary>The site of one expert's input.</summary>
    protected static string ExpertOf(SiteTrace input, int expert) => $"{input.Name}.expert.{expert}";

    /// <summary>The value of a probe graph that says which experts each row of a mixture's input chose, int32 [T, top_k].</summary>
    protected static string SelectedOf(SiteTrace input) => $"{input.Name}.selected";

    /// <summary>The value of a probe graph that holds what each chosen expert made inside, float [T, top_k, intermediate].</summary>
    protected static string InnerOf(SiteTrace input) => $"{input.Name}.inner";

    /// <summary>The site of what one expert made inside.</summary>
    protected static string InnerOf(SiteTrace input, int expert) => $"{InnerOf(input)}.{expert}";

    /// <summary>Whether the MLPs of a graph for sparse verification leave out channels: whether an operator does over these numbers.</summary>
    protected virtual bool SkipsChannels => false;

    /// <summary>What the next mixture is told about sparse rows, or null.</summary>
    protected SparseExperts? NextSparseExperts() => Sparse is { } sparse && sparse.ExpertBetas != Value.None ? new(sparse.Rows, sparse.Experts, sparse.ExpertBetas, _sparseMixtures++) : null;

    protected abstract LinearInput WriteNorm(SiteTrace site, Value weight, Value x, double epsilon);

    protected abstract LinearInput WriteSiluMul(SiteTrace site, Value gate, Value up);

    protected abstract Value WriteLinear(LinearInput x, string weight, Value? bias, Value? residual, string output);

    protected abstract Value WriteMixture(LinearInput x, MixtureTensors tensors, ExpertMixtureAttributes attributes, string name);

    /// <summary>The mixture with its experts' matrices in the export's own float precision.</summary>
    protected Value WriteFloatMixture(LinearInput x, MixtureTensors tensors, ExpertMixtureAttributes attributes, string name, bool probes = false)
    {
        ExpertMixtureInputs inputs = new(
            x.Value,
            Vector(tensors.Router),
            tensors.CorrectionBias is { } bias ? Vector(bias) : Value.None,
            Stack(tensors.Gate),
            Stack(tensors.Up),
            Stack(tensors.Down));
        return probes
            ? Graph.ExpertMixture(inputs, attributes, NextSparseExperts(), name, SelectedOf(x.Site), InnerOf(x.Site))
            : Graph.ExpertMixture(inputs, attributes, NextSparseExperts(), name);

        Value Stack(ExpertStack stack) => Graph.Weight(stack.Name, Weights.ProjectionStack(stack.Name, stack.Parts));
    }

    private SiteTrace Open(SiteTrace site)
    {
        _sites.Add(site);
        return site;
    }
}
