using System.Text.Json.Serialization;
using LongCat.ML.Inference;

namespace LongCat.ML;

/// <summary>How the engine behind a step is set up. Steps with the same model and equal settings share one engine.</summary>
/// <remarks>Immutable. Saved with the pipeline.</remarks>
public sealed record EngineSettings
{
    /// <summary>The bytes that the attention caches may take, or null for the engine's default. At least 1.</summary>
    public long? CacheBytes { get; init; }

    /// <summary>The sequences that the engine runs in one step, 1 to 4096.</summary>
    public int MaxSequences { get; init; } = 32;

    /// <summary>The threads of the engine; 0 takes every core.</summary>
    public int Threads { get; init; }

    /// <summary>Where the model runs, such as <c>cpu</c>; null takes <c>MLContext.GpuDeviceId</c> where that is set, otherwise the CPU.</summary>
    public string? Device { get; init; }

    /// <summary>Whether every byte of the weights is compared with the manifest when the model is opened. Models up to 64 MiB are always compared.</summary>
    public bool VerifyWeights { get; init; }

    /// <summary>
    /// Whether the weights are copied into pages of 2 MiB, which saves translations of addresses while decoding and takes memory of its own (<see cref="WeightPages.Huge"/>). Where the system has none, the
    /// model runs on the file mapping and <c>MLContext.Log</c> hears why.
    /// </summary>
    public WeightPages WeightPages { get; init; }

    /// <summary>
    /// Adapters that rows can run with: a name for each folder in the format of PEFT. They are loaded with the model and stay in memory beside it; see
    /// <see cref="StepOptions.Adapter"/> and <see cref="StepOptions.AdapterColumnName"/>. A saved pipeline keeps their names, content hashes and paths, and finds them again as it finds models.
    /// </summary>
    [JsonIgnore]
    public IReadOnlyDictionary<string, string> Adapters { get; init; } = new Dictionary<string, string>();

    /// <summary>
    /// Speculative decoding of completions, or null for none. It changes no value of a row, only how many tokens a step of the model gives; therefore a saved pipeline does not keep it.
    /// </summary>
    [JsonIgnore]
    public SpeculativeOptions? Speculation { get; init; }

    /// <summary>Whether all settings are equal, adapters by name and folder.</summary>
    /// <param name="other">Other settings.</param>
    /// <returns>True where they are.</returns>
    public bool Equals(EngineSettings? other) =>
        other is not null
        && (CacheBytes, MaxSequences, Threads, Device, VerifyWeights, WeightPages) == (other.CacheBytes, other.MaxSequences, other.Threads, other.Device, other.VerifyWeights, other.WeightPages)
        && Speculation == other.Speculation
        && Adapters.Count == other.Adapters.Count
        && Adapters.All(pair => other.Adapters.TryGetValue(pair.Key, out string? folder) && folder == pair.Value);

    /// <summary>A number that equal settings have in common.</summary>
    /// <returns>The number.</returns>
    public override int GetHashCode() => HashCode.Combine(CacheBytes, MaxSequences, Threads, Device, VerifyWeights, WeightPages, Speculation, Adapters.Count);

    internal void Validate()
    {
        ArgumentNullException.ThrowIfNull(Adapters);
        foreach ((string name, string folder) in Adapters)
        {
            if (string.IsNullOrWhiteSpace(name) || name.Any(char.IsControl) || string.IsNullOrWhiteSpace(folder))
            {
                throw new ArgumentException(
                    $"{nameof(Adapters)} has the folder '{folder}' under the name '{name}'; a name that is not blank and has no line breaks, and the folder of an adapter are expected.", nameof(Adapters));
            }
        }

        Throw.IfOutside(CacheBytes ?? 1, 1, long.MaxValue, nameof(CacheBytes));
        Throw.IfOutside(MaxSequences, 1, 4096, nameof(MaxSequences));
        Throw.IfOutside(Threads, 0, 4096, nameof(Threads));
        if (!Enum.IsDefined(WeightPages))
        {
            throw new ArgumentOutOfRangeException(nameof(WeightPages), WeightPages, $"{nameof(WeightPages)} is {WeightPages}, expected {WeightPages.Mapped} or {WeightPages.Huge}");
        }
    }
}
