using System.Globalization;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Where AFA-LoRA's annealing stands (arXiv 2512.22455): φ(z) = β · σ(z) + (1 - β) · z between A and B, β from <see cref="BetaStart"/> down to exactly 0. It lies beside the
/// PEFT files as <c>afa_state.json</c>; an adapter without it is a plain one.
/// </summary>
public sealed record AfaState
{
    /// <summary>The file's name.</summary>
    public const string FileName = "afa_state.json";

    private const int FormatVersion = 1;
    private const long LongestFile = 16 << 20;

    /// <summary>Steps taken, from 0.</summary>
    public long Step { get; init; }

    /// <summary>Steps of the whole training; 0 where it is not known.</summary>
    public long TotalSteps { get; init; }

    /// <summary>β now, 0 to 1. Exactly 0 means that the adapter is a plain one by now.</summary>
    public double Beta { get; init; }

    /// <summary>σ.</summary>
    public AfaActivation Activation { get; init; }

    /// <summary>How β falls.</summary>
    public AfaSchedule Schedule { get; init; }

    /// <summary>The share of the steps after which β begins to fall, 0 to 1.</summary>
    public double StartFraction { get; init; }

    /// <summary>The share of the steps after which β is 0, above <see cref="StartFraction"/> and at most 1.</summary>
    public double EndFraction { get; init; } = 0.3;

    /// <summary>β at the start, 0 to 1.</summary>
    public double BetaStart { get; init; } = 1;

    /// <summary>The number of stairs of <see cref="AfaSchedule.Step"/>; at least 1.</summary>
    public int Stairs { get; init; } = 4;

    /// <summary>Reads the state beside an adapter's files.</summary>
    /// <param name="folder">The adapter's folder.</param>
    /// <returns>The state; null where there is none.</returns>
    /// <exception cref="AdapterException">The file is malformed, or a value is out of range.</exception>
    public static AfaState? Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return Read(folder, out _);
    }

    /// <summary>Writes the state into an adapter's folder; an earlier file is replaced.</summary>
    /// <param name="folder">The adapter's folder, which must exist.</param>
    /// <exception cref="AdapterException">A value is out of range, or the file cannot be written.</exception>
    public void Save(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Check(folder);
        AdapterFile.Replace(Path.Combine(folder, FileName), ToBytes(null));
    }

    /// <summary>Reads the state and, of an adapter that is still annealing, its PEFT configuration, which then lies in the same file.</summary>
    internal static AfaState? Read(string folder, out string? config)
    {
        config = null;
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(BoundedFile.Read(path, LongestFile), new JsonDocumentOptions { MaxDepth = 32, AllowDuplicateProperties = false });
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
            {
                throw new AdapterException(path, "holds no JSON object");
            }

            ConfigReader reader = new(path, root);
            if (reader.Int("format_version", 1, int.MaxValue) is var version && version != FormatVersion)
            {
                throw new AdapterException(path, $"format_version is {version}; this version of LongCat.ML reads {FormatVersion}. Use the version that wrote it.");
            }

            config = root.TryGetProperty("adapter_config", out JsonElement inner) && inner.ValueKind == JsonValueKind.Object ? inner.GetRawText() : null;
            AfaState state = new()
            {
                Step = (long)reader.Number("step", 0, 1L << 53),
                TotalSteps = (long)reader.Number("total_steps", 0, 1L << 53, 0),
                Beta = reader.Number("beta", 0, 1),
                Activation = Name<AfaActivation>(reader, "activation", path),
                Schedule = Name<AfaSchedule>(reader, "schedule", path),
                StartFraction = reader.Number("start_fraction", 0, 1),
                EndFraction = reader.Number("end_fraction", 0, 1),
                BetaStart = reader.Number("beta_start", 0, 1),
                Stairs = reader.Int("stairs", 1, 1 << 20),
            };
            state.Check(path);
            return state;
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

    /// <summary>Refuses what no training can have left.</summary>
    internal void Check(string source)
    {
        string? problem =
            Step < 0 || TotalSteps < 0 ? $"step {Step} of {TotalSteps}, expected numbers from 0 on"
            : !(Beta >= 0 && Beta <= 1) ? Text($"beta is {Beta:R}, expected a number from 0 to 1")
            : !(BetaStart >= 0 && BetaStart <= 1) ? Text($"beta_start is {BetaStart:R}, expected a number from 0 to 1")
            : !(StartFraction >= 0 && StartFraction < EndFraction && EndFraction <= 1) ? Text($"start_fraction {StartFraction:R} and end_fraction {EndFraction:R}, expected 0 ≤ start < end ≤ 1")
            : Stairs < 1 ? $"stairs is {Stairs}, expected at least 1"
            : !Enum.IsDefined(Activation) || !Enum.IsDefined(Schedule) ? $"activation {Activation} and schedule {Schedule}, expected known ones"
            : null;
        if (problem is not null)
        {
            throw new AdapterException(source, problem);
        }

        static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }

    internal byte[] ToBytes(string? config)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("format_version", FormatVersion);
            json.WriteNumber("step", Step);
            json.WriteNumber("total_steps", TotalSteps);
            json.WriteNumber("beta", Beta);
            json.WriteString("activation", Activation.ToString().ToLowerInvariant());
            json.WriteString("schedule", Schedule.ToString().ToLowerInvariant());
            json.WriteNumber("start_fraction", StartFraction);
            json.WriteNumber("end_fraction", EndFraction);
            json.WriteNumber("beta_start", BetaStart);
            json.WriteNumber("stairs", Stairs);
            if (config is not null)
            {
                json.WritePropertyName("adapter_config");
                json.WriteRawValue(config);
            }

            json.WriteEndObject();
        }

        return [.. stream.ToArray(), (byte)'\n'];
    }

    private static TEnum Name<TEnum>(ConfigReader reader, string key, string path)
        where TEnum : struct, Enum
    {
        string? text = reader.Text(key);
        foreach (TEnum value in Enum.GetValues<TEnum>())
        {
            if (value.ToString().Equals(text, StringComparison.OrdinalIgnoreCase))
            {
                return value;
            }
        }

        throw new AdapterException(path, $"{key} is {(text is null ? "missing" : CheckpointException.Printable(text))}, expected one of "
            + string.Join(", ", Enum.GetNames<TEnum>().Select(n => n.ToLowerInvariant())));
    }
}
