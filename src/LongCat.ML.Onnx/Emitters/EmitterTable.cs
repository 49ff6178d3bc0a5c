using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>Which emitter writes which architecture (<c>architectures[0]</c> of config.json).</summary>
internal static class EmitterTable
{
    private static readonly Dictionary<string, Func<ModelConfig, ModelEmitter>> LongCat = new(StringComparer.Ordinal)
    {
        ["LongcatFlashForCausalLM"] = config => new LongcatFlashEmitter((LongcatFlashConfig)config),
        ["LongcatCausalLM"] = config => new LongcatFlashEmitter((LongcatFlashConfig)config),
        ["LongcatFlashNgramForCausalLM"] = config => new LongcatFlashEmitter((LongcatFlashConfig)config),
    };

    private static readonly Dictionary<string, Func<ModelConfig, ModelEmitter>> Standard = new(StringComparer.Ordinal)
    {
        ["LongcatFlashForCausalLM"] = config => new StandardLongcatEmitter((LongcatFlashConfig)config),
        ["LongcatCausalLM"] = config => new StandardLongcatEmitter((LongcatFlashConfig)config),
        ["LongcatFlashNgramForCausalLM"] = config => new StandardLongcatEmitter((LongcatFlashConfig)config),
    };

    /// <summary>The emitter of a configuration.</summary>
    /// <exception cref="CheckpointException">No emitter writes this architecture; the message lists those that exist.</exception>
    public static ModelEmitter For(ModelConfig config, OperatorSet operators, string folder)
    {
        Dictionary<string, Func<ModelConfig, ModelEmitter>> emitters = operators == OperatorSet.Standard ? Standard : LongCat;
        return emitters.TryGetValue(config.Architecture, out Func<ModelConfig, ModelEmitter>? create)
            ? create(config)
            : throw new CheckpointException(
                folder, $"architecture {config.Architecture} cannot be exported; the exporter writes {string.Join(", ", emitters.Keys.Order(StringComparer.Ordinal))}.");
    }
}
