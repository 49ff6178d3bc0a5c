using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.ZigZag;

/// <summary>Settings of the calibration of α (LoZA, 2512.23966).</summary>
/// <remarks>
/// The pattern's defaults are those of the published kernels. How α begins, its learning rate and the number of steps are not published: these defaults are this project's own.
/// </remarks>
public sealed record ZigZagCalibrationOptions
{
    /// <summary>Tokens of a block; 1 to 65,536.</summary>
    public int BlockSize { get; init; } = 128;

    /// <summary>Blocks at the start of a document that every query sees; 0 to 8,192.</summary>
    public int SinkBlocks { get; init; } = 1;

    /// <summary>Latest blocks that a query sees, its own included; 1 to 8,192.</summary>
    public int LocalBlocks { get; init; } = 7;

    /// <summary>
    /// α of every attention at the beginning. At 1 the model is where its training left it and no small change of any α matters much; halfway between both patterns the loss shows which attentions miss
    /// the rest of the context, so ½ is the default. α is free to leave 0..1: a bound would make equal what the choice has to order.
    /// </summary>
    public double InitialAlpha { get; init; } = 0.5;

    /// <summary>The highest learning rate. AdamW moves each α by about this much a step, whatever the loss's scale.</summary>
    public double LearningRate { get; init; } = 1e-2;

    /// <summary>The shape of the learning rate after a warm-up of 3 % of the steps.</summary>
    public LearningRateSchedule Schedule { get; init; }

    /// <summary>Steps, 1 or more.</summary>
    public long Steps { get; init; } = 200;

    /// <summary>Packed rows of one forward pass.</summary>
    public int BatchRows { get; init; } = 2;

    /// <summary>Tokens per packed row, more than the pattern's span, up to the model's longest sequence; null takes twice the span, or the model's longest sequence where that is shorter.</summary>
    public int? Columns { get; init; }

    /// <summary>Forward passes whose gradients are added before an update.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>The share of attentions that the report marks as the ones to become streaming, above 0, up to 1.</summary>
    public double Share { get; init; } = 0.5;

    /// <summary>Steps between two evaluations on the validation texts; 0 evaluates at the end only.</summary>
    public int EvaluateEvery { get; init; }

    /// <summary>How the model's weights, which are frozen, are held.</summary>
    public BaseWeights Base { get; init; }

    /// <summary><c>cpu</c>, <c>cuda</c> or <c>cuda:n</c>.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Whether each layer is computed again in the backward pass instead of keeping its activations: less memory, about a third more time, the same gradients.</summary>
    public bool GradientCheckpointing { get; init; }

    /// <summary>Seed of the order of the texts.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads; 0 means one per core. Equal α need equal threads.</summary>
    public int Threads { get; init; }

    /// <summary>Where states are kept to resume from; null for none.</summary>
    public string? StateFolder { get; init; }

    /// <summary>Steps between two states; 0 saves one only when the run is cancelled.</summary>
    public int SaveEvery { get; init; } = 100;

    /// <summary>Checks everything that can be checked without a model.</summary>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    public void Validate()
    {
        Pattern([0]);
        Check(double.IsFinite(InitialAlpha), nameof(InitialAlpha), InitialAlpha, "a finite number");
        Check(Share is > 0 and <= 1, nameof(Share), Share, "a number above 0, up to 1");
        Check(Steps > 0, nameof(Steps), Steps, "1 or more");
        ToFineTuning(Columns ?? 8).Validate();

        static void Check(bool valid, string name, object value, string expected)
        {
            if (!valid)
            {
                throw new ArgumentException(FormattableString.Invariant($"{name} is {value}, expected {expected}"), name);
            }
        }
    }

    /// <summary>The pattern for some attentions.</summary>
    internal StreamingAttentionConfig Pattern(IReadOnlyList<int> attentions) => new() { BlockSize = BlockSize, SinkBlocks = SinkBlocks, LocalBlocks = LocalBlocks, AttentionLayers = attentions };

    /// <summary>What the trainer of adapters is told, which trains α in their place.</summary>
    internal FineTuningOptions ToFineTuning(int columns) => new()
    {
        Lora = null,
        FrozenModel = true,
        Base = Base,
        Steps = Steps,
        BatchRows = BatchRows,
        Columns = columns,
        AccumulationSteps = AccumulationSteps,
        LearningRate = LearningRate,
        Schedule = Schedule,
        EvaluateEvery = EvaluateEvery,

        // α of the last step, whose learning rate has come to rest: the best evaluated one would be the luckiest.
        KeepBest = false,
        Device = Device,
        GradientCheckpointing = GradientCheckpointing,
        Seed = Seed,
        Threads = Threads,
        StateFolder = StateFolder,
        SaveEvery = SaveEvery,
    };
}
