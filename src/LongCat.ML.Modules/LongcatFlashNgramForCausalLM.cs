using LongCat.ML.Checkpoints;

namespace LongCat.ML.Modules;

/// <summary>LongCat-Flash-Lite (2601.21204): LongCat-Flash with the n-gram embedding.</summary>
public sealed class LongcatFlashNgramForCausalLM : LongcatFlashForCausalLM
{
    /// <summary>Creates the model with weights that are not yet meaningful.</summary>
    /// <param name="config">The settings; with n-gram embedding.</param>
    /// <exception cref="ArgumentException">The config has no n-gram embedding, or more than one draft layer.</exception>
    public LongcatFlashNgramForCausalLM(LongcatFlashConfig config)
        : base(config, ngram: true)
    {
    }
}
