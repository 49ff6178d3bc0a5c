using LongCat.ML.Checkpoints;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The plain decoders as one module: Llama, Mistral, Mixtral, Qwen2, Qwen3 and Qwen3-MoE differ in biases, head norms, windows and mixtures, all of which the config says.
/// </summary>
/// <remarks>State: <c>model.*</c> and <c>lm_head.weight</c>; the latter is absent where the output matrix is the word embedding.</remarks>
[ModuleFamily(typeof(DecoderConfig))]
public sealed class DecoderForCausalLM : CausalLanguageModel
{
    private readonly DecoderModel model;
    private readonly Projection? lm_head;

    /// <summary>Creates the model with weights that are not yet meaningful: load a checkpoint.</summary>
    /// <param name="config">The settings.</param>
    public DecoderForCausalLM(DecoderConfig config)
        : base(nameof(DecoderForCausalLM))
    {
        Config = config;
        model = new DecoderModel(config, Settings);
        lm_head = config.TieWordEmbeddings ? null : new Projection(config.HiddenSize, config.VocabSize, hasBias: false, ProjectionPrecision.EightBit);
        RegisterComponents();
    }

    /// <summary>The settings.</summary>
    public override DecoderConfig Config { get; }

    /// <summary>The stack below the output matrix.</summary>
    public DecoderModel Model => model;

    /// <summary>Creates the model with weights that are not yet meaningful.</summary>
    /// <param name="config">The settings.</param>
    /// <returns>A model of random weights, owned by the caller.</returns>
    public static DecoderForCausalLM Create(DecoderConfig config) => new(config);

    /// <inheritdoc/>
    public override Tensor Logits(Tensor hidden) =>
        lm_head is not null ? lm_head.forward(hidden) : model.Words.Multiply(hidden);

    private protected override IEnumerable<TokenTable> Tables() => [model.Words];

    internal override IEnumerable<AttentionSight> Sights() => model.Sights;

    private protected override ForwardResult ForwardStack(SequenceBatch batch, ActivationProbe? probe) => model.Forward(batch, probe);
}
