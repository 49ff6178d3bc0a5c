using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Reports;

namespace LongCat.ML.Training.ZigZag;

/// <summary>What a calibration found: α of every attention that saw all of the context. On disk it is <c>zigzag.json</c>.</summary>
public sealed record ZigZagCalibration
{
    /// <summary>The name of the file in a calibration's folder.</summary>
    public const string FileName = "zigzag.json";

    private const int FormatVersion = 1;
    private const long LongestFile = 16 << 20;

    private static readonly JsonSerializerOptions s_json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        WriteIndented = true,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    /// <summary>The model's architecture.</summary>
    public required string Architecture { get; init; }

    /// <summary>All attentions of the model, those that were not calibrated too.</summary>
    public required int NumAttentions { get; init; }

    /// <summary>Tokens of a block.</summary>
    public required int BlockSize { get; init; }

    /// <summary>Blocks at the start of a document that every query sees.</summary>
    public required int SinkBlocks { get; init; }

    /// <summary>Latest blocks that a query sees.</summary>
    public required int LocalBlocks { get; init; }

    /// <summary>α of every attention at the beginning.</summary>
    public required double InitialAlpha { get; init; }

    /// <summary>Steps trained.</summary>
    public required long Steps { get; init; }

    /// <summary>Tokens seen.</summary>
    public required long Tokens { get; init; }

    /// <summary>The attentions, ascending.</summary>
    public required IReadOnlyList<AttentionAlpha> Attentions { get; init; }

    /// <summary>The attentions of the lowest α as streaming attentions.</summary>
    /// <param name="share">The share of <see cref="Attentions"/>, above 0, up to 1; a part of an attention is left full.</param>
    /// <returns>The pattern with the chosen attentions.</returns>
    /// <exception cref="ArgumentException">The share is out of range or less than one attention.</exception>
    public StreamingAttentionConfig Choose(double share) => Pattern(StreamingSelection.Lowest(Attentions, share));

    /// <summary>The pattern with some attentions.</summary>
    /// <param name="attentions">The attentions, ascending, at least one.</param>
    /// <returns>What <see cref="SparseCheckpoint"/> takes.</returns>
    public StreamingAttentionConfig Pattern(IReadOnlyList<int> attentions) => new() { BlockSize = BlockSize, SinkBlocks = SinkBlocks, LocalBlocks = LocalBlocks, AttentionLayers = attentions };

    /// <summary>Draws α of every attention.</summary>
    /// <param name="streaming">The attentions that become streaming: their bars have a colour of their own.</param>
    /// <returns>An SVG picture that needs nothing from a network.</returns>
    public string Picture(IReadOnlyList<int> streaming)
    {
        ArgumentNullException.ThrowIfNull(streaming);
        return new BarChart("α of each attention", "attention", "α")
        {
            Bars = [.. Attentions.Select(entry => (entry.Attention.ToString(CultureInfo.InvariantCulture), entry.Alpha, streaming.Contains(entry.Attention) ? 1 : 0))],
            Kinds = [("stays full", "#1f77b4"), ("becomes streaming", "#ff7f0e")],
            Line = (InitialAlpha, "at the beginning"),
        }.ToString();
    }

    /// <summary>Reads a calibration.</summary>
    /// <param name="path">The file, or the folder that holds <c>zigzag.json</c>.</param>
    /// <returns>The calibration.</returns>
    /// <exception cref="CheckpointException">The file is missing, no such file, or holds a value that cannot be.</exception>
    public static ZigZagCalibration Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string file = Directory.Exists(path) ? Path.Combine(path, FileName) : path;
        try
        {
            if (new FileInfo(file) is { Exists: true, Length: > LongestFile } large)
            {
                throw new CheckpointException(file, $"has {large.Length:N0} bytes, expected the α of a model's attentions in at most {LongestFile:N0}");
            }

            var stored = JsonSerializer.Deserialize<Stored>(File.ReadAllText(file), s_json) ?? throw new CheckpointException(file, "holds null, expected the α of a model's attentions");
            if (stored.FormatVersion != FormatVersion)
            {
                throw new CheckpointException(file, $"format_version is {stored.FormatVersion}, expected {FormatVersion}");
            }

            stored.Calibration.Check(file);
            return stored.Calibration;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CheckpointException(file, "does not exist; make it with a calibration (longcat-train zigzag calibrate)", e);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(file, $"cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Refuses a model that is not the one which was calibrated, as far as its settings tell.</summary>
    /// <param name="config">The model's settings.</param>
    /// <exception cref="ArgumentException">Another architecture or another number of attentions.</exception>
    public void Require(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (config.Architecture != Architecture || config.NumAttentions != NumAttentions)
        {
            throw new ArgumentException($"the calibration is of {Architecture} with {NumAttentions} attentions, the model is {config.Architecture} with {config.NumAttentions}: calibrate this model", nameof(config));
        }
    }

    internal void Write(string folder) => File.WriteAllText(Path.Combine(folder, FileName), JsonSerializer.Serialize(new Stored(FormatVersion, this), s_json) + "\n");

    private void Check(string file)
    {
        try
        {
            if (Attentions is null || Attentions.Count == 0)
            {
                throw new ArgumentException("attentions is empty, expected at least one");
            }

            // The pattern's own ranges, and that indices ascend.
            Pattern([.. Attentions.Select(entry => entry?.Attention ?? -1)]);
            if (Attentions[^1].Attention >= NumAttentions)
            {
                throw new ArgumentException($"attentions has {Attentions[^1].Attention}, expected 0 to {NumAttentions - 1} as num_attentions says");
            }

            StreamingSelection.Lowest(Attentions, 1);
        }
        catch (ArgumentException e)
        {
            throw new CheckpointException(file, e.Message, e);
        }
    }

    private sealed record Stored(int FormatVersion, ZigZagCalibration Calibration);
}
