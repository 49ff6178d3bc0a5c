namespace LongCat.ML.Checkpoints;

/// <summary>One row of the table of families.</summary>
/// <param name="Architecture"><c>architectures[0]</c> of config.json.</param>
/// <param name="Read">Reads the config; its type decides which module and which emitter serve the family.</param>
/// <param name="Limit">What of the architecture is not supported, for the list in error messages; null when there is nothing to say.</param>
internal sealed record ModelFamily(string Architecture, Func<ConfigReader, string, ModelConfig> Read, string? Limit = null);
