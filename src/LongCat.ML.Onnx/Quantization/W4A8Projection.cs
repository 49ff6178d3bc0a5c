using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>One matrix on its way to 4 bits. Its levels live from their quantization until they are packed, its scales until they are written.</summary>
internal sealed class W4A8Projection
{
    private readonly LinearSite _site;
    private readonly W4A8Format _format;
    private readonly CheckpointWeights _weights;
    private readonly MatrixQuantizer _quantizer;
    private readonly QuantizationReport _report;
    private Task<QuantizedMatrix>? _task;
    private float[]? _scales;

    public W4A8Projection(string weight, LinearSite site, W4A8Format format, CheckpointWeights weights, MatrixQuantizer quantizer, QuantizationReport report)
    {
        Weight = weight;
        OutFeatures = weights.RowCount(weight);
        InFeatures = weights.Columns(weight);
        _site = site;
        _format = format;
        _weights = weights;
        _quantizer = quantizer;
        _report = report;
    }

    /// <summary>The matrix's name.</summary>
    public string Weight { get; }

    /// <summary>N.</summary>
    public int OutFeatures { get; }

    /// <summary>K.</summary>
    public int InFeatures { get; }

    public long Elements => (long)OutFeatures * InFeatures;

    public long Panels => W4A8Packing.Panels(OutFeatures);

    public long PanelBytes => W4A8Packing.PanelBytes(InFeatures, _format.GroupSize, _format.GroupScaleBytes);

    /// <summary>The queue that it stands in.</summary>
    public QuantizationQueue? Queue { get; set; }

    /// <summary>Its place there.</summary>
    public int Index { get; set; }

    /// <summary>Begins on a thread of the pool, unless it has begun.</summary>
    public void Begin(CancellationToken cancellationToken) => _task ??= Task.Run(() => Quantize(cancellationToken), cancellationToken);

    /// <summary>Waits for the end of what <see cref="Begin"/> began and lets go of it.</summary>
    public QuantizedMatrix Result()
    {
        QuantizedMatrix matrix = _task!.GetAwaiter().GetResult();
        _task = null;
        return matrix;
    }

    /// <summary>Waits for what runs; its outcome is of no interest.</summary>
    public void Abandon() => _task?.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default).Wait();

    /// <summary>Writes the panels; the scales are kept for <see cref="CopyScales"/>.</summary>
    public void Pack(Stream destination)
    {
        QuantizedMatrix matrix = Queue!.Take(this);
        W4A8Packing.Pack(matrix, destination);
        _report.Add(matrix.Report);
        _scales = matrix.Scales;
    }

    /// <summary>Writes the scales of the quantization that <see cref="Pack"/> wrote.</summary>
    public void CopyScales(Stream destination)
    {
        destination.Write(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(_scales ?? throw new InvalidOperationException($"the scales of {Weight} are written before its panels")));
        _scales = null;
    }

    private QuantizedMatrix Quantize(CancellationToken cancellationToken)
    {
        float[] values = Queue!.Rent(Elements);
        _weights.ReadFloat32(Weight, 0, values);
        QuantizedMatrix matrix = _quantizer.Quantize(Weight, values, OutFeatures, InFeatures, _site, cancellationToken);
        Queue.Return(values);

        // The graph already says how many bytes a group scale has.
        return matrix.GroupScaleBytes == _format.GroupScaleBytes
            ? matrix
            : new QuantizedMatrix(
                OutFeatures, InFeatures, matrix.GroupSize, _format.GroupScaleBytes, matrix.Levels, matrix.GroupScales, matrix.Scales, matrix.ActivationScale, matrix.Report);
    }
}
