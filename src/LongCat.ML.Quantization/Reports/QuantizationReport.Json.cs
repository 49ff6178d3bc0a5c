using System.Text.Json;
using System.Text.Json.Serialization;

namespace LongCat.ML.Quantization;

public sealed partial class QuantizationReport
{
    private static readonly JsonSerializerOptions Format = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter() },
    };

    private byte[] Json(MatrixReport[] matrices)
    {
        double weights = matrices.Sum(matrix => (double)matrix.OutFeatures * matrix.InFeatures);
        var content = new
        {
            FormatVersion = 1,
            Options = new
            {
                _options.Recipe, _options.GroupSize, _options.Scaling, _options.Amplifier, _options.Activations, _options.Clipping, _options.Compensate, _options.Equalize,
                _options.Experts, _options.Head, NgramTables = _options.NGramTables, _options.StaticThreshold, _options.DynamicThreshold, _options.Seed,
            },
            Calibration = new { Tokens = CalibrationTokens, DataFree },
            Totals = new
            {
                Matrices = matrices.Length,
                Weights = (long)weights,
                MeanRelativeError = matrices.Length == 0 ? 0 : matrices.Average(matrix => matrix.RelativeError),
                WorstRelativeError = matrices.Length == 0 ? 0 : matrices.Max(matrix => matrix.RelativeError),
                ClippedShare = weights == 0 ? 0 : matrices.Sum(matrix => matrix.ClippedShare * matrix.OutFeatures * matrix.InFeatures) / weights,
                WithoutCalibrationRows = matrices.Count(matrix => matrix.CalibrationRows == 0),
                StaticInputs = matrices.Count(matrix => matrix.Activation == "static"),
            },
            Matrices = matrices,
        };
        return [.. JsonSerializer.SerializeToUtf8Bytes(content, Format), (byte)'\n'];
    }
}
