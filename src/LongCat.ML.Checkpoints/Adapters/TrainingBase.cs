using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// <c>training_base.json</c> beside an adapter's files: how the base model's weights were held while it was trained. Absent where they were as the checkpoint holds them, so that the folder of such an
/// adapter has PEFT's files alone.
/// </summary>
internal static class TrainingBase
{
    public const string FileName = "training_base.json";

    private const int FormatVersion = 1;
    private const long LongestFile = 1 << 16;

    /// <summary>Reads the file.</summary>
    /// <param name="folder">The adapter's folder.</param>
    /// <returns>The precision; null where there is no file.</returns>
    /// <exception cref="AdapterException">The file is malformed.</exception>
    public static WeightPrecision? Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(BoundedFile.Read(path, LongestFile), new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new AdapterException(path, "holds no JSON object");
            }

            ConfigReader reader = new(path, document.RootElement);
            if (reader.Int("format_version", 1, int.MaxValue) is var version && version != FormatVersion)
            {
                throw new AdapterException(path, $"format_version is {version}; this version of LongCat.ML reads {FormatVersion}. Use the version that wrote it.");
            }

            string? text = reader.Text("weights");
            foreach (WeightPrecision precision in Enum.GetValues<WeightPrecision>())
            {
                if (Name(precision) == text)
                {
                    return precision;
                }
            }

            throw new AdapterException(path, $"weights is {(text is null ? "missing" : CheckpointException.Printable(text))}, expected one of {string.Join(", ", Enum.GetValues<WeightPrecision>().Select(Name))}");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new AdapterException(path, $"not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }
        catch (CheckpointException e)
        {
            throw AdapterException.From(e);
        }
    }

    public static byte[] ToBytes(WeightPrecision weights) =>
        [.. JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object> { ["format_version"] = FormatVersion, ["weights"] = Name(weights) }, s_indented), (byte)'\n'];

    /// <summary>The name that longcat.json uses too.</summary>
    public static string Name(WeightPrecision weights) => weights.ToString().ToLowerInvariant();

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };
}
