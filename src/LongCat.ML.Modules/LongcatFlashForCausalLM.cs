using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// LongCat-Flash (2509.01322) as a TorchSharp module: state-dict names are the published tensor names, weights are float32.
/// <see cref="LongcatFlashNgramForCausalLM"/> is the same with the n-gram embedding.
/// </summary>
/// <remarks>
/// Prefill only: a forward pass reads whole rows and keeps no cache (generation is the inference engine's work). Forward passes under <c>torch.no_grad()</c>
/// may run from several threads at once; training may not. Dispose the module to free its weights.
/// </remarks>
[ModuleFamily(typeof(LongcatFlashConfig))]
public partial class LongcatFlashForCausalLM : CausalLanguageModel
{
    private readonly LongcatFlashModel model;
    private readonly Projection lm_head;

    /// <summary>Creates the model with weights that are not yet meaningful: load a checkpoint or call <see cref="WeightInitializer"/>.</summary>
    /// <param name="config">The settings; without n-gram embedding.</param>
    /// <exception cref="ArgumentException">The config has an n-gram embedding, or more than one draft layer.</exception>
    public LongcatFlashForCausalLM(LongcatFlashConfig config)
        : this(config, ngram: false)
    {
    }

    private protected LongcatFlashForCausalLM(LongcatFlashConfig config, bool ngram)
        : base(ngram ? nameof(LongcatFlashNgramForCausalLM) : nameof(LongcatFlashForCausalLM))
    {
        if (ngram != config.NGram is not null)
        {
            throw new ArgumentException(ngram
                ? "LongcatFlashNgramForCausalLM needs a config with an n-gram embedding; use LongcatFlashForCausalLM for a plain one"
                : "the config has an n-gram embedding; use LongcatFlashNgramForCausalLM", nameof(config));
        }

        if (config.PhysicalMtpLayers > 1)
        {
            throw new ArgumentException($"the draft head has {config.PhysicalMtpLayers} layers of its own, one is supported", nameof(config));
        }

        Config = config;
        model = new LongcatFlashModel(config, config.PhysicalMtpLayers > 0, Settings);
        lm_head = new Projection(config.HiddenSize, config.VocabSize, hasBias: false, ProjectionPrecision.EightBit);
        RegisterComponents();
    }

    /// <summary>The settings.</summary>
    public override LongcatFlashConfig Config { get; }

    /// <summary>The stack below the output matrix.</summary>
    public LongcatFlashModel Model => model;

    /// <summary>Creates the class that the config's architecture calls for.</summary>
    /// <param name="config">The settings.</param>
    /// <returns>A model of random weights, owned by the caller.</returns>
    public static LongcatFlashForCausalLM Create(LongcatFlashConfig config) =>
        config.NGram is null ? new LongcatFlashForCausalLM(config) : new LongcatFlashNgramForCausalLM(config);

    /// <summary>Runs the draft head: position t predicts token t+2 from the hidden state at t and the token at t+1.</summary>
    /// <param name="hidden">[B·S, hidden], <see cref="ForwardResult.Hidden"/> of the same rows.</param>
    /// <param name="batch">The tokens of these rows.</param>
    /// <param name="probe">Sees intermediate results, or null.</param>
    /// <returns>[B·S, hidden], ready for <see cref="Logits(Tensor)"/>; a row's last entry means nothing.</returns>
    /// <exception cref="InvalidOperationException">The model has no draft head.</exception>
    public Tensor ForwardDraft(Tensor hidden, SequenceBatch batch, ActivationProbe? probe = null) => model.ForwardDraft(hidden, batch, probe);

    /// <inheritdoc/>
    public override Tensor Logits(Tensor hidden) => lm_head.forward(hidden);

    private protected override IEnumerable<TokenTable> Tables() => model.Tables;

    internal override IEnumerable<AttentionSight> Sights() => model.Sights;

    private protected override ForwardResult ForwardStack(SequenceBatch batch, ActivationProbe? probe) => model.Forward(batch, probe);
}
