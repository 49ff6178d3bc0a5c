namespace LongCat.ML.Quantization;

/// <summary>What was quantized and how well: <c>quantization.json</c> and the picture <c>quantization.svg</c>. <see cref="Add"/> is thread-safe.</summary>
public sealed partial class QuantizationReport
{
    /// <summary>Name of the listing.</summary>
    public const string JsonName = "quantization.json";

    /// <summary>Name of the picture.</summary>
    public const string PictureName = "quantization.svg";

    private readonly QuantizationOptions _options;
    private readonly Dictionary<string, MatrixReport> _matrices = new(StringComparer.Ordinal);

    /// <summary>Creates an empty report.</summary>
    /// <param name="options">The options; resolved here if they are not yet.</param>
    /// <exception cref="ArgumentException">An option has a value that is not allowed.</exception>
    public QuantizationReport(QuantizationOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options.Resolve();
    }

    /// <summary>Tokens of the calibration run; 0 without one.</summary>
    public long CalibrationTokens { get; init; }

    /// <summary>Whether the calibration read random tokens instead of text.</summary>
    public bool DataFree { get; init; }

    /// <summary>Adds a matrix; a later report of the same name takes the place of the earlier one.</summary>
    /// <param name="report">The matrix's report.</param>
    public void Add(MatrixReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        lock (_matrices)
        {
            _matrices[report.Name] = report;
        }
    }

    /// <summary>Writes both files into a folder. The bytes depend on what was added, not on the order; each file appears under its name only when it is complete.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <exception cref="IOException">A file could not be written.</exception>
    public void Save(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        MatrixReport[] matrices;
        lock (_matrices)
        {
            matrices = [.. _matrices.Values.Order(Comparer<MatrixReport>.Create((left, right) => NaturalOrder.Compare(left.Name, right.Name)))];
        }

        WriteWhole(Path.Combine(folder, JsonName), Json(matrices));
        WriteWhole(Path.Combine(folder, PictureName), QuantizationPicture.Draw(_options, matrices, CalibrationTokens, DataFree));
    }

    private static void WriteWhole(string path, byte[] content)
    {
        string partial = path + ".partial";
        try
        {
            File.WriteAllBytes(partial, content);
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }
}
