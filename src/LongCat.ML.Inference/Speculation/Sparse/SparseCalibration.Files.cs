using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference;

public sealed partial record SparseCalibration
{
    private const long LongestFile = 16L << 20;

    private static readonly JsonSerializerOptions s_json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>Reads <c>sparse_verification.json</c>.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The calibration.</returns>
    /// <exception cref="CheckpointException">The file is missing, is no such file, or has values that contradict each other.</exception>
    public static SparseCalibration Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            SparseCalibration calibration = JsonSerializer.Deserialize<SparseCalibration>(BoundedFile.Read(path, LongestFile).Span, s_json)
                ?? throw new CheckpointException(path, "the file holds null, expected a calibration. Write it again with longcat calibrate-sparse.");
            calibration.Check("the calibration");
            return calibration;
        }
        catch (Exception exception) when (exception is JsonException or ArgumentException or InvalidOperationException)
        {
            throw new CheckpointException(path, $"no calibration of sparse verification: {exception.Message} Write it again with longcat calibrate-sparse.", exception);
        }
    }

    /// <summary>Writes <c>sparse_verification.json</c>: whole, or the file stays as it was.</summary>
    /// <param name="path">The file; an earlier one is replaced.</param>
    /// <exception cref="ArgumentException">The values contradict each other.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">As <see cref="IOException"/>.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Check("the calibration");
        WholeFile.Replace(path, [.. JsonSerializer.SerializeToUtf8Bytes(this, s_json), (byte)'\n']);
    }
}
