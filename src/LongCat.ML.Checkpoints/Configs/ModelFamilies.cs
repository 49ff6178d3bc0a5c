namespace LongCat.ML.Checkpoints;

/// <summary>
/// The table of families: which architecture is read how. It is the one list of what is supported; error messages print it, and the modules and emitters are
/// chosen by the type of the config that a row's reader returns.
/// </summary>
internal static class ModelFamilies
{
    private static readonly ModelFamily[] Rows =
    [
        new("LongcatFlashForCausalLM", LongcatFlashConfig.Read),
        new("LongcatFlashNgramForCausalLM", LongcatFlashConfig.Read),
        new("LongcatCausalLM", LongcatFlashConfig.Read),
        Decoder("LlamaForCausalLM", new() { ReadsAttentionBias = true, ReadsMlpBias = true }),
        Decoder("MistralForCausalLM", new() { Windows = DecoderWindowRule.EveryLayer, DefaultWindow = 4096 }),
        Decoder("MixtralForCausalLM", new() { Windows = DecoderWindowRule.EveryLayer, DefaultTheta = 1e6, DefaultEpsilon = 1e-5, Mixture = DecoderConfig.ReadMixtral }),
        Decoder("Qwen2ForCausalLM", new() { QueryKeyValueBias = true, Windows = DecoderWindowRule.SomeLayers, DefaultWindow = 4096 }),
        Decoder("Qwen3ForCausalLM", new() { ReadsAttentionBias = true, QueryKeyNorm = true, Windows = DecoderWindowRule.SomeLayers, DefaultWindow = 4096 }),
        Decoder("Qwen3MoeForCausalLM", new()
        {
            ReadsAttentionBias = true, QueryKeyNorm = true, Windows = DecoderWindowRule.SomeLayers, DefaultWindow = 4096, Mixture = DecoderConfig.ReadQwenMixture,
        }),
    ];

    private static readonly Dictionary<string, ModelFamily> ByArchitecture = Rows.ToDictionary(row => row.Architecture, StringComparer.Ordinal);

    /// <summary>The supported architectures for an error message.</summary>
    public static string Supported { get; } = string.Join(", ", Rows.Select(row => row.Limit is null ? row.Architecture : $"{row.Architecture} ({row.Limit})"));

    public static ModelConfig Read(ConfigReader config)
    {
        string architecture = config.FirstText("architectures")
            ?? throw new CheckpointException(config.File, $"architectures is missing or empty, expected one of {Supported}");
        if (!ByArchitecture.TryGetValue(architecture, out ModelFamily? family))
        {
            throw config.Refuse("architectures[0]", $"\"{CheckpointException.Printable(architecture)}\"", $"one of {Supported}");
        }

        // The one setting that every family reads alike.
        ModelConfig model = family.Read(config, architecture);
        return model with { Streaming = StreamingAttentionConfig.Read(config, model) };
    }

    private static ModelFamily Decoder(string architecture, DecoderTraits traits) => new(architecture, (config, name) => DecoderConfig.Read(config, name, traits));
}
