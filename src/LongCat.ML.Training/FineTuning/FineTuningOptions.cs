using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;

namespace LongCat.ML.Training.FineTuning;

/// <summary>Settings of fine-tuning.</summary>
public sealed record FineTuningOptions
{
    /// <summary>The adapter to train on the frozen model; null trains the model's own weights (full fine-tuning).</summary>
    public LoraOptions? Lora { get; init; } = new();

    /// <summary>
    /// Whether the multi-token-prediction head of a LongCat checkpoint is trained, with everything else frozen: from the model's hidden state at t and the token at t+1 it learns the token
    /// at t+2 (2509.01322, section 2), which is what speculative decoding proposes. <see cref="Lora"/> says how: null trains the head's own weights, an adapter sits on the head's projections (all
    /// of them without targets) and is merged in the end. The result is a checkpoint either way. Needs float32 weights on the CPU. Default false.
    /// </summary>
    public bool DraftHead { get; init; }

    /// <summary>How the frozen model's weights are held; full fine-tuning needs <see cref="BaseWeights.Float32"/>.</summary>
    public BaseWeights Base { get; init; }

    /// <summary>Steps; null takes <see cref="Epochs"/>.</summary>
    public long? Steps { get; init; }

    /// <summary>How often each training example is seen, above 0, where <see cref="Steps"/> is null.</summary>
    public double Epochs { get; init; } = 3;

    /// <summary>Packed rows of one forward pass.</summary>
    public int BatchRows { get; init; } = 8;

    /// <summary>Tokens per packed row: 8 up to the model's longest sequence.</summary>
    public int Columns { get; init; } = 256;

    /// <summary>Forward passes whose gradients are added before an update: memory of <see cref="BatchRows"/> rows, the update of that many times as many.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>What happens to examples longer than <see cref="Columns"/>.</summary>
    public OverlongExamples Overlong { get; init; }

    /// <summary>Whether prompts are learned too. Read by what encodes rows (<see cref="ExampleEncoder.LossOnPrompt"/>); <see cref="FineTuner"/> takes examples as they are.</summary>
    public bool LossOnPrompt { get; init; }

    /// <summary>The highest learning rate. Adapters take about ten times what full fine-tuning takes.</summary>
    public double LearningRate { get; init; } = 2e-4;

    /// <summary>LoRA+ (2402.12354): what the rate of B matrices and magnitudes is multiplied by; 1 is plain LoRA. Embeddings' adapters then have a rate of 1e-6.</summary>
    public double LoraPlusRatio { get; init; } = 1;

    /// <summary>The shape of the learning rate after the warm-up.</summary>
    public LearningRateSchedule Schedule { get; init; }

    /// <summary>Steps of the linear warm-up; null takes 3 % of all steps.</summary>
    public int? WarmupSteps { get; init; }

    /// <summary>Decoupled weight decay of adapter matrices; in full fine-tuning of matrices that are no embeddings.</summary>
    public double WeightDecay { get; init; }

    /// <summary>AdamW's own settings; <see cref="AdamWOptions.MaxGradientNorm"/> clips.</summary>
    public AdamWOptions Optimizer { get; init; } = new() { Beta2 = 0.999, Epsilon = 1e-8 };

    /// <summary>Steps between two evaluations on the validation examples; 0 evaluates at the end only.</summary>
    public int EvaluateEvery { get; init; } = 50;

    /// <summary>
    /// Evaluations without a better validation loss after which training stops; 0 never stops early. While β of AFA-LoRA is above 0 evaluations do not count, since such an
    /// adapter cannot be merged.
    /// </summary>
    public int Patience { get; init; }

    /// <summary>Whether the result is the best evaluated step rather than the last one, where there are validation examples.</summary>
    public bool KeepBest { get; init; } = true;

    /// <summary><c>cpu</c>, <c>cuda</c> or <c>cuda:n</c>.</summary>
    public string Device { get; init; } = "cpu";

    /// <summary>Whether each layer is computed again in the backward pass instead of keeping its activations: less memory, about a third more time, the same gradients.</summary>
    public bool GradientCheckpointing { get; init; }

    /// <summary>Seed of the data order; initial values and dropout follow <see cref="LoraOptions.Seed"/>.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads; 0 means one per core. Equal weights need equal threads.</summary>
    public int Threads { get; init; }

    /// <summary>Where states are kept to resume from; null for none.</summary>
    public string? StateFolder { get; init; }

    /// <summary>Steps between two states; 0 saves one only when the run is cancelled.</summary>
    public int SaveEvery { get; init; } = 100;

    /// <summary>Whether neither an adapter nor the model's own weights are trained, but something else that comes with the trainer.</summary>
    internal bool FrozenModel { get; init; }

    /// <summary>Checks everything that can be checked without a model.</summary>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    public void Validate()
    {
        Lora?.Validate();
        Check(Steps is null or > 0, nameof(Steps), Steps, "a whole number above 0, or none");
        Check(Steps is not null || (double.IsFinite(Epochs) && Epochs > 0), nameof(Epochs), Epochs, "a number above 0");
        Check(BatchRows >= 1, nameof(BatchRows), BatchRows, "1 or more");
        Check(Columns >= 8, nameof(Columns), Columns, "8 or more");
        Check(AccumulationSteps >= 1, nameof(AccumulationSteps), AccumulationSteps, "1 or more");
        Check(double.IsFinite(LearningRate) && LearningRate > 0, nameof(LearningRate), LearningRate, "a number above 0");
        Check(double.IsFinite(LoraPlusRatio) && LoraPlusRatio >= 1, nameof(LoraPlusRatio), LoraPlusRatio, "1 or more");
        Check(!DraftHead || Base == BaseWeights.Float32, nameof(Base), Base, "Float32 while the draft head is trained, whose weights change");
        Check(!DraftHead || Device == "cpu", nameof(Device), Device, "cpu while the draft head is trained");
        Check(!DraftHead || Lora is not { TrainNGramTables: true }, "Lora.TrainNGramTables", true, "false while the draft head is trained: the tables are the model's");
        Check(!DraftHead || Lora?.ModulesToSave is null, "Lora.ModulesToSave", string.Join(", ", Lora?.ModulesToSave ?? []), "none while the draft head is trained; without an adapter the whole head is");
        Check(Lora is not null || LoraPlusRatio == 1, nameof(LoraPlusRatio), LoraPlusRatio, "1 in full fine-tuning, which has no B matrices");
        Check(WarmupSteps is null or >= 0, nameof(WarmupSteps), WarmupSteps, "0 or more, or none");
        Check(double.IsFinite(WeightDecay) && WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
        ArgumentNullException.ThrowIfNull(Optimizer);
        Check(Optimizer.Beta1 is >= 0 and < 1, "Optimizer.Beta1", Optimizer.Beta1, "0 up to, not including, 1");
        Check(Optimizer.Beta2 is >= 0 and < 1, "Optimizer.Beta2", Optimizer.Beta2, "0 up to, not including, 1");
        Check(double.IsFinite(Optimizer.Epsilon) && Optimizer.Epsilon > 0, "Optimizer.Epsilon", Optimizer.Epsilon, "a number above 0");
        Check(double.IsFinite(Optimizer.MaxGradientNorm) && Optimizer.MaxGradientNorm >= 0, "Optimizer.MaxGradientNorm", Optimizer.MaxGradientNorm, "0 (no clipping) or more");
        Check(EvaluateEvery >= 0, nameof(EvaluateEvery), EvaluateEvery, "0 or more");
        Check(Patience >= 0, nameof(Patience), Patience, "0 or more");
        Check(Patience == 0 || EvaluateEvery > 0, nameof(Patience), Patience, "0 where EvaluateEvery is 0: stopping early needs evaluations on the way");
        Check(Threads >= 0, nameof(Threads), Threads, "0 or more");
        Check(SaveEvery >= 0, nameof(SaveEvery), SaveEvery, "0 or more");
        Check(Lora is not null || FrozenModel || Base == BaseWeights.Float32, nameof(Base), Base, "Float32 in full fine-tuning, which changes these weights");
        Check(Lora is not null || FrozenModel || Device == "cpu", nameof(Device), Device, "cpu in full fine-tuning; adapters train on other devices");
        Check(Enum.IsDefined(Schedule), nameof(Schedule), Schedule, "Cosine, Linear or Constant");
        Check(Enum.IsDefined(Overlong), nameof(Overlong), Overlong, "Truncate, Skip or Fail");
    }

    private static void Check(bool valid, string name, object? value, string expected)
    {
        if (!valid)
        {
            throw new ArgumentException(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{name} is {value}, expected {expected}"), name);
        }
    }
}
