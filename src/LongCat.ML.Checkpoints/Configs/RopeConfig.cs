namespace LongCat.ML.Checkpoints;

/// <summary>
/// Rotary position embedding: the frequencies and the two factors that come with context extension. Computed in double precision and
/// rounded once. Rotary embedding: arXiv 2104.09864; YaRN: arXiv 2309.00071.
/// </summary>
public sealed record RopeConfig
{
    /// <summary>The base of the frequencies (<c>rope_theta</c>), above 1.</summary>
    public required double Theta { get; init; }

    /// <summary>Context extension; null for plain rotary embedding.</summary>
    public RopeScaling? Scaling { get; init; }

    /// <summary>
    /// What cos and sin are multiplied by; 1 without YaRN. As in the reference implementation, a YaRN config without
    /// <c>attention_factor</c> that lacks <c>mscale</c> or <c>mscale_all_dim</c> (or has one of them 0) gets 0.1·ln(factor) + 1, and the
    /// quotient of both scales otherwise.
    /// </summary>
    public double Multiplier
    {
        get
        {
            if (Scaling is not { Type: RopeScalingType.Yarn } yarn)
            {
                return 1;
            }

            if (yarn.AttentionFactor is double given)
            {
                return given;
            }

            return yarn.MScale is double scale and not 0 && yarn.MScaleAllDim is double all and not 0
                ? MScale(yarn.Factor, scale) / MScale(yarn.Factor, all)
                : MScale(yarn.Factor, 1);
        }
    }

    /// <summary>
    /// What latent attention's softmax scale is multiplied by: the square of 0.1·mscale_all_dim·ln(factor) + 1 when YaRN gives a non-zero
    /// <c>mscale_all_dim</c>, and 1 otherwise.
    /// </summary>
    public double SoftmaxFactor
    {
        get
        {
            if (Scaling is not { Type: RopeScalingType.Yarn, MScaleAllDim: double all and not 0 } yarn)
            {
                return 1;
            }

            double scale = MScale(yarn.Factor, all);
            return scale * scale;
        }
    }

    /// <summary>The angle per position of each rotated pair: theta^(-2i/dim), after scaling.</summary>
    /// <param name="dim">The number of rotated dimensions per head; even, at least 2.</param>
    /// <returns>dim / 2 frequencies, in radians per position.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dim"/> is odd or below 2.</exception>
    public float[] InverseFrequencies(int dim)
    {
        if (dim < 2 || dim % 2 != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(dim), dim, "the number of rotated dimensions must be even and at least 2");
        }

        float[] frequencies = new float[dim / 2];
        for (int i = 0; i < frequencies.Length; i++)
        {
            double plain = Math.Pow(Theta, -2.0 * i / dim);
            frequencies[i] = (float)(Scaling?.Type switch
            {
                RopeScalingType.Linear => plain / Scaling.Factor,
                RopeScalingType.Llama3 => Llama3(plain, Scaling),
                RopeScalingType.Yarn => Yarn(plain, i, dim, Scaling),
                _ => plain,
            });
        }

        return frequencies;
    }

    /// <param name="config">The model's config.json, or what has its keys.</param>
    /// <param name="thetaWhenAbsent">The base of a config that gives none; null to refuse such a config.</param>
    internal static RopeConfig Read(ConfigReader config, double? thetaWhenAbsent = null)
    {
        string key = config.Spelling("rope_scaling", "rope_parameters");
        ConfigReader? parameters = config.Object(key);
        if (parameters is { } given && (given.Has("full_attention") || given.Has("sliding_attention")))
        {
            throw config.Refuse(key, "one set for each kind of layer", "one set for all layers");
        }

        // Newer configs keep theta among the parameters.
        ConfigReader holder = parameters is { } own && own.Has("rope_theta") ? own : config;
        double theta = thetaWhenAbsent is double fallback ? holder.Number("rope_theta", 1.000001, 1e15, fallback) : holder.Number("rope_theta", 1.000001, 1e15);
        return new RopeConfig { Theta = theta, Scaling = parameters is { } scaling ? ReadScaling(config, scaling) : null };
    }

    private static RopeScaling? ReadScaling(ConfigReader config, ConfigReader scaling)
    {
        string key = scaling.Spelling("rope_type", "type");
        string? name = scaling.Text(key);
        if (name == "default" || (name is null && !scaling.Has("factor")))
        {
            return null;
        }

        RopeScalingType type = name switch
        {
            "yarn" or "deepseek_yarn" => RopeScalingType.Yarn,
            "llama3" => RopeScalingType.Llama3,
            "linear" => RopeScalingType.Linear,
            _ => throw scaling.Refuse(key, name is null ? "missing" : $"\"{CheckpointException.Printable(name)}\"",
                "\"default\", \"yarn\", \"deepseek_yarn\", \"llama3\" or \"linear\""),
        };

        RopeScaling result = new()
        {
            Type = type,
            Factor = scaling.Number("factor", 1, 1e6),
            OriginalMaxPositions = scaling.Has("original_max_position_embeddings")
                ? scaling.Int("original_max_position_embeddings", 1, int.MaxValue)
                : config.Int("max_position_embeddings", 1, int.MaxValue),
            BetaFast = scaling.Number("beta_fast", 1e-6, 1e6, 32),
            BetaSlow = scaling.Number("beta_slow", 1e-6, 1e6, 1),
            MScale = scaling.OptionalNumber("mscale", 0, 100),
            MScaleAllDim = scaling.OptionalNumber("mscale_all_dim", 0, 100),
            AttentionFactor = scaling.OptionalNumber("attention_factor", 1e-6, 1e6),
            Truncate = scaling.Flag("truncate", whenAbsent: true),
            LowFrequencyFactor = scaling.Number("low_freq_factor", 1e-6, 1e6, 1),
            HighFrequencyFactor = scaling.Number("high_freq_factor", 1e-6, 1e6, 4),
        };
        if (type == RopeScalingType.Llama3 && result.HighFrequencyFactor <= result.LowFrequencyFactor)
        {
            throw scaling.Refuse("high_freq_factor", $"{result.HighFrequencyFactor:R}", $"more than low_freq_factor ({result.LowFrequencyFactor:R})");
        }

        return result;
    }

    private static double MScale(double factor, double scale) => factor <= 1 ? 1 : (0.1 * scale * Math.Log(factor)) + 1;

    private double Yarn(double plain, int i, int dim, RopeScaling yarn)
    {
        // The dimension whose frequency makes this many turns over the original context.
        double Dimension(double turns) =>
            dim * Math.Log(yarn.OriginalMaxPositions / (turns * 2 * Math.PI)) / (2 * Math.Log(Theta));

        double low = Dimension(yarn.BetaFast);
        double high = Dimension(yarn.BetaSlow);
        if (yarn.Truncate)
        {
            low = Math.Floor(low);
            high = Math.Ceiling(high);
        }

        low = Math.Max(low, 0);
        high = Math.Min(high, dim - 1);

        // Equal ends would divide by zero; the reference implementation widens the ramp by the same amount.
        double width = low == high ? 0.001 : high - low;
        double keep = 1 - Math.Clamp((i - low) / width, 0, 1);
        return (plain * keep) + (plain / yarn.Factor * (1 - keep));
    }

    private static double Llama3(double plain, RopeScaling llama)
    {
        double wavelength = 2 * Math.PI / plain;
        if (wavelength > llama.OriginalMaxPositions / llama.LowFrequencyFactor)
        {
            return plain / llama.Factor;
        }

        if (wavelength < llama.OriginalMaxPositions / llama.HighFrequencyFactor)
        {
            return plain;
        }

        double blend = ((llama.OriginalMaxPositions / wavelength) - llama.LowFrequencyFactor)
            / (llama.HighFrequencyFactor - llama.LowFrequencyFactor);
        return ((1 - blend) * plain / llama.Factor) + (blend * plain);
    }
}
