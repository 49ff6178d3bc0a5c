using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// What a W4A8 export stands for, in floating point: every matrix quantized once more (the same options give the same levels) and multiplied out, every row that such a matrix
/// reads rounded to 8 bits and multiplied out. The references in double precision compute with it.
/// </summary>
internal sealed class QuantizedModel
{
    private readonly Dictionary<string, float[]> _weights = new(StringComparer.Ordinal);
    private readonly Dictionary<string, float> _activationScales = new(StringComparer.Ordinal);

    public QuantizedModel(Checkpoint checkpoint, ExportResult export, QuantizationOptions options, IStatisticsSource? statistics = null)
    {
        options = options.Resolve();
        LinearSite[] sites = [.. export.Sites, .. export.DraftSites];
        Equalization? equalization = statistics is null ? null : Equalization.Plan(options, sites, statistics);
        MatrixQuantizer quantizer = new(options, equalization?.Statistics ?? statistics);
        foreach (LinearSite site in sites)
        {
            foreach (string router in site.FloatReaders)
            {
                _weights[router] = Folded(router);
            }

            if (site.Norm is { } norm)
            {
                _weights[norm] = Folded(norm);
            }

            foreach (string weight in site.Weights)
            {
                IReadOnlyList<long> shape = checkpoint.Entry(weight).Shape;
                float[] values = Folded(weight);
                if (site.Expert is not null && !options.Experts)
                {
                    _weights[weight] = values;
                    continue;
                }

                QuantizedMatrix matrix = quantizer.Quantize(weight, values, (int)shape[0], (int)shape[1], site);
                _weights[weight] = matrix.Dequantize();
                _activationScales[weight] = quantizer.ActivationScale(site);
                Matrices.Add(weight, matrix);
            }
        }

        if (options.Head == HeadPrecision.Int8)
        {
            string head = checkpoint.Config.OutputHeadName;
            IReadOnlyList<long> shape = checkpoint.Entry(head).Shape;
            _weights[head] = quantizer.QuantizeInt8(head, checkpoint.ReadFloat32(head), (int)shape[0], (int)shape[1]).Dequantize();
        }

        if (options.NGramTables == TablePrecision.Int8 && checkpoint.Config is LongcatFlashConfig { NGram: { } ngram })
        {
            foreach (string table in Enumerable.Range(0, ngram.TableCount).Select(ngram.TableName))
            {
                IReadOnlyList<long> shape = checkpoint.Entry(table).Shape;
                _weights[table] = quantizer.QuantizeInt8(table, checkpoint.ReadFloat32(table), (int)shape[0], (int)shape[1]).Dequantize();
            }
        }

        float[] Folded(string name)
        {
            float[] values = checkpoint.ReadFloat32(name);
            float[]? factors = equalization?.ColumnFactors(name), divisors = equalization?.NormDivisors(name);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = factors is not null ? values[i] * factors[i % factors.Length] : divisors is not null ? values[i] / divisors[i] : values[i];
            }

            return values;
        }
    }

    /// <summary>The matrices in 4 bits.</summary>
    public Dictionary<string, QuantizedMatrix> Matrices { get; } = new(StringComparer.Ordinal);

    public float[]? Weights(string name) => _weights.GetValueOrDefault(name);

    /// <summary>Each element to the nearest of 255 levels, as the kernels do it in float32; rows that other matrices read stay as they are.</summary>
    public double[] Round(string weight, double[] row)
    {
        if (!_activationScales.TryGetValue(weight, out float given))
        {
            return row;
        }

        float[] x = [.. row.Select(value => (float)value)];
        float largest = x.Max(Math.Abs), scale = given > 0 ? given : largest / 127, inverse = given > 0 ? 1 / given : 127 / largest;
        return largest == 0 ? row : [.. x.Select(value => Math.Clamp(MathF.Round(value * inverse), -127, 127) * (double)scale)];
    }
}
