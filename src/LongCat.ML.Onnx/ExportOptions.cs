using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>How a checkpoint is exported. Immutable; the defaults suit a first try.</summary>
public sealed partial record ExportOptions
{
    /// <summary>
    /// Which operators the graph uses: LongCat.ML's own (the default), or only those of ONNX and com.microsoft, for any runtime without LongCat.ML's library.
    /// Standard operators compute in float32, from weights in float32 or <see cref="WeightPrecision.Int4"/>: no <see cref="WeightPrecision.BF16"/>, no <see cref="WeightPrecision.W4A8"/>, no bfloat16 caches, and no draft head.
    /// </summary>
    public OperatorSet Operators { get; init; }

    /// <summary>
    /// How matrices and tables are stored; null (the default) keeps the checkpoint's own precision: float32 where its output head is float32
    /// or float16 (bfloat16 would lose digits of either), bfloat16 otherwise.
    /// </summary>
    public WeightPrecision? Precision { get; init; }

    /// <summary>
    /// Modules whose adapters the graph takes as inputs, for any runtime that knows ONNX Runtime's adapters (<see cref="Adapters.OnnxAdapterFile"/>): of each module
    /// <c>&lt;module&gt;.lora_A.weight</c> [K, lora_r] and <c>&lt;module&gt;.lora_B.weight</c> [lora_r, N], which may be left out and then have no rank. Null (the default) for none.
    /// LongCat.ML's engine needs none of them: it gives any exported graph inputs for the adapters that it is asked for.
    /// </summary>
    public AdapterTargets? AdapterInputs { get; init; }

    /// <summary>Whether the draft head is written as draft.onnx where the checkpoint has one; true by default.</summary>
    public bool IncludeDraft { get; init; } = true;

    /// <summary>
    /// The element type of the attention caches; float32 by default. bfloat16 halves the memory and moves the logits by about 1 in 100; int8, with a scale for each row of integers, takes about a quarter.
    /// </summary>
    public CacheType CacheType { get; init; } = CacheType.Float32;

    /// <summary>
    /// Whether model.onnx takes what sparse verification needs (arXiv 2512.21911): inputs that say which rows of a step may be computed with a part of the context, of the channels and of
    /// the experts, and the means of the caches' blocks (docs/design.md section 3). Rows that are not marked so have the bits of an export without it. False by default; with the longcat operators only.
    /// </summary>
    public bool SparseVerification { get; init; }

    /// <summary>
    /// The folder of a LoRA adapter, as PEFT or LongCat.ML saves it, that is merged into the weights on the way: the export is that of the merged model. Null (the default) exports the
    /// checkpoint as it is. An adapter that is still annealing, or that does not fit the checkpoint, is refused.
    /// </summary>
    public string? Adapter { get; init; }

    /// <summary>
    /// Whether an adapter that was trained on quantized weights (<see cref="PeftAdapter.TrainedOn"/>) may be merged into weights of another precision than <see cref="WeightPrecision.W4A8"/>; false by
    /// default, since that is another model than the one that was trained. With <see cref="WeightPrecision.W4A8"/> the merged weights are quantized again, which needs no leave.
    /// </summary>
    public bool OntoUnquantized { get; init; }

    /// <summary>Whether an earlier export under the same name is replaced; false by default. Any other folder with files in it is never replaced.</summary>
    public bool Overwrite { get; init; }

    /// <summary>
    /// The epsilon of the norms inside latent attention; null (the default) keeps the configuration's, 1e-6 as in the reference implementation.
    /// Some serving engines use <c>rms_norm_eps</c> instead. Positive and finite.
    /// </summary>
    public double? LatentNormEps { get; init; }

    /// <summary>
    /// Whether the graphs also put out what their linear layers read, for calibration: the value of every site of <see cref="ExportResult.Sites"/> under its name, and of every mixture
    /// the chosen experts and what each made inside. The export is float32 and has the longcat operators. False by default.
    /// </summary>
    public bool Probes { get; init; }

    /// <summary>
    /// How <see cref="WeightPrecision.W4A8"/> is made; null takes the default recipe, <see cref="QuantizationRecipe.LongCat"/>. Set only with that precision.
    /// </summary>
    public QuantizationOptions? Quantization { get; init; }

    /// <summary>What calibration saw, for recipes that need it (<see cref="QuantizationOptions.NeedsStatistics"/>); null without. Its sites are those of a probe export of the same checkpoint.</summary>
    public IStatisticsSource? Statistics { get; init; }

    /// <summary>
    /// How many weights of a row share a scale with <see cref="WeightPrecision.Int4"/>: 16, 32, 64, 128 or 256. 32 by default. Larger blocks make the model smaller and less exact.
    /// </summary>
    public int Int4BlockSize { get; init; } = 32;

    /// <summary>Whether <see cref="WeightPrecision.Int4"/> takes the output head too; without it the figures of the matrices between can be compared.</summary>
    internal bool Int4Head { get; init; } = true;

    /// <summary>Folded into the weights of whatever precision: tests hold the folded float model against the plain one.</summary>
    internal Equalization? Equalization { get; init; }
}
