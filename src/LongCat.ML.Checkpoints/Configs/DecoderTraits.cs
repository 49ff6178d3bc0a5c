namespace LongCat.ML.Checkpoints;

/// <summary>What a decoder family's architecture fixes, or which keys of config.json it lets decide: its row in <see cref="ModelFamilies"/>.</summary>
internal sealed record DecoderTraits
{
    /// <summary>Query, key and value projections always have biases.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary><c>attention_bias</c> gives all four attention projections biases.</summary>
    public bool ReadsAttentionBias { get; init; }

    /// <summary><c>mlp_bias</c> gives the MLP's matrices biases.</summary>
    public bool ReadsMlpBias { get; init; }

    /// <summary>Every query and key head has a norm.</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>How config.json says which layers have a window.</summary>
    public DecoderWindowRule Windows { get; init; }

    /// <summary>The window of a config.json that does not mention <c>sliding_window</c>; null for none. An explicit null there means none in every family.</summary>
    public int? DefaultWindow { get; init; }

    /// <summary><c>rope_theta</c> where config.json gives none.</summary>
    public double DefaultTheta { get; init; } = 10_000;

    /// <summary><c>rms_norm_eps</c> where config.json gives none.</summary>
    public double DefaultEpsilon { get; init; } = 1e-6;

    /// <summary>Reads the mixture; null for a dense family.</summary>
    public Func<ConfigReader, DecoderMixtureConfig>? Mixture { get; init; }
}
