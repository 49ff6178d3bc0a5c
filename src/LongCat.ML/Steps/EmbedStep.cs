using LongCat.ML.Checkpoints;
using LongCat.ML.Engines;
using LongCat.ML.Inputs;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>An embedding.</summary>
internal sealed record EmbedResult(float[] Vector) : RowResult;

/// <summary>Texts to vectors of known size.</summary>
internal sealed class EmbedStep : RowStep
{
    public const string StepName = "Embed";

    /// <summary>A saved pipeline puts the vector together from parts whose sizes are powers of two: this many of them.</summary>
    public const int SavedParts = 16;

    private readonly EmbedOptions options;

    /// <param name="options">The settings.</param>
    /// <param name="hiddenSize">H, the width of the model's hidden states.</param>
    public EmbedStep(EmbedOptions options, int hiddenSize)
        : base(options)
    {
        if (hiddenSize is < 1 or >= 1 << SavedParts)
        {
            throw new ArgumentException($"The model's hidden states have {hiddenSize} elements; Embed takes 1 to {(1 << SavedParts) - 1}.", nameof(hiddenSize));
        }

        this.options = options;
        HiddenSize = hiddenSize;
        Empty = new EmbedResult([.. Enumerable.Repeat(float.NaN, hiddenSize)]);
        Outputs =
        [
            new StepColumn<EmbedResult, VBuffer<float>>(
                options.OutputColumnName,
                SavedNames.Embedding,
                new VectorDataViewType(NumberDataViewType.Single, hiddenSize),
                (EmbedResult result, ref VBuffer<float> value) => VectorWriter.Write(result.Vector, ref value)),
        ];
    }

    /// <summary>The step for the model that the options name.</summary>
    /// <exception cref="CheckpointException">There is no model in the folder.</exception>
    public static EmbedStep Create(EmbedOptions options)
    {
        options.Validate();
        return new EmbedStep(options, ModelManifest.Read(options.ModelFolder).HiddenSize);
    }

    public override string Name => StepName;

    public int HiddenSize { get; }

    public override IReadOnlyList<StepColumn> Outputs { get; }

    public override RowResult Empty { get; }

    public override async Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken)
    {
        float[] vector = await ((ITextEngine)model).EmbedAsync(
            texts.First, options.Pooling, options.Normalize, options.OverlongRows, AdapterOf(texts), cancellationToken).ConfigureAwait(false);
        return vector.Length == HiddenSize
            ? new EmbedResult(vector)
            : throw new InvalidOperationException($"the model gave a vector of {vector.Length} elements; its manifest says {HiddenSize}.");
    }
}
