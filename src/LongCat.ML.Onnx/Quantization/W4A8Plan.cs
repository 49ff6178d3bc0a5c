using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// How one export's weights become 4 bits: decided from the options, the sites of the float form and the statistics before any weight is read, so that graphs can be
/// written around it. The weights themselves are quantized when their tensors are written.
/// </summary>
internal sealed class W4A8Plan : IDisposable
{
    private readonly Dictionary<string, (SiteTrace Trace, LinearSite Site)> _sites;
    private readonly CheckpointWeights _weights;
    private readonly MatrixQuantizer _quantizer;
    private readonly QuantizationQueue _queue;

    /// <param name="options">Resolved.</param>
    /// <param name="statistics">Of calibration, or null.</param>
    /// <param name="sites">Of all graphs of the export, as the float form noted them.</param>
    /// <param name="weights">The checkpoint's, without equalization.</param>
    /// <param name="cancellationToken">Ends the quantization.</param>
    /// <exception cref="QuantizationException">The recipe needs statistics and there are none.</exception>
    public W4A8Plan(QuantizationOptions options, IStatisticsSource? statistics, IEnumerable<SiteTrace> sites, CheckpointWeights weights, CancellationToken cancellationToken)
    {
        Options = options;
        _sites = sites.ToDictionary(site => site.Name, site => (site, site.ToSite()), StringComparer.Ordinal);
        Equalization? equalization = options.Equalize == true && statistics is not null
            ? Equalization.Plan(options, [.. _sites.Values.Select(known => known.Site)], statistics)
            : null;
        Equalized = equalization is not null;
        _weights = weights.Folded(equalization);
        _quantizer = new MatrixQuantizer(options, equalization?.Statistics ?? statistics);
        Report = new QuantizationReport(options) { CalibrationTokens = statistics?.Tokens ?? 0, DataFree = statistics?.DataFree ?? false };
        _queue = new QuantizationQueue(cancellationToken);
    }

    public QuantizationOptions Options { get; }

    public QuantizationReport Report { get; }

    /// <summary>Whether factors were moved from norms into matrices.</summary>
    public bool Equalized { get; }

    /// <summary>The checkpoint's tensors as the graphs must take them, with equalization folded in.</summary>
    public CheckpointWeights Weights => _weights;

    /// <summary>The groups of every matrix of the export.</summary>
    public W4A8Format Format => new(Options.GroupSize!.Value, Options.Scaling switch
    {
        WeightScaling.PerChannel => 0,
        WeightScaling.IntegerScale => sizeof(ushort),
        _ => 1,
    });

    /// <summary>What the float form noted about a site.</summary>
    public SiteTrace Trace(string site) => _sites[site].Trace;

    /// <summary>The static scale of a site's rows, 0 where each row has its own.</summary>
    public float ActivationScale(string site) => _quantizer.ActivationScale(_sites[site].Site);

    /// <summary>A matrix in 4 bits.</summary>
    public W4A8Weights Matrix(GraphBuilder graph, string weight, string site)
    {
        W4A8Projection projection = Projection(weight, site);
        return new W4A8Weights(
            graph.Weight(weight, new W4A8Tensor($"{weight}:w4a8", [projection], stacked: false)),
            graph.Weight($"{weight}.scale", new W4A8Scales($"{weight}:w4a8.scale", [projection], stacked: false)),
            projection.OutFeatures,
            projection.InFeatures,
            Format);
    }

    /// <summary>All experts' matrices in 4 bits, one after another.</summary>
    public W4A8Stack Stack(GraphBuilder graph, ExpertStack stack, Func<int, string> site)
    {
        W4A8Projection[] projections = [.. stack.Parts.Select((weight, expert) => Projection(weight, site(expert)))];
        return new W4A8Stack(
            graph.Weight(stack.Name, new W4A8Tensor($"{stack.Name}:w4a8", projections, stacked: true)),
            graph.Weight($"{stack.Name}.scale", new W4A8Scales($"{stack.Name}:w4a8.scale", projections, stacked: true)));
    }

    /// <summary>A matrix in 8 bits, with a scale for each row: the output head.</summary>
    public Int8Weights Int8(GraphBuilder graph, string weight)
    {
        Int8Matrix matrix = new(weight, _weights, _quantizer, _queue.CancellationToken);
        return new Int8Weights(
            graph.Weight($"{weight}.int8", new Int8Panels(matrix)), graph.Weight($"{weight}.int8.scale", new Int8Scales(matrix)), matrix.Rows, matrix.Columns);
    }

    /// <summary>A table in 8 bits whose rows carry their scales.</summary>
    public Value Table(GraphBuilder graph, string name) => graph.Weight(name, new Int8Table(new Int8Matrix(name, _weights, _quantizer, _queue.CancellationToken)));

    public void Dispose() => _queue.Dispose();

    private W4A8Projection Projection(string weight, string site) =>
        _queue.Add(weight, () => new W4A8Projection(weight, _sites[site].Site, Format, _weights, _quantizer, Report));
}
