using LongCat.ML.Training.Optimization;

namespace LongCat.ML.Training.Pretraining;

/// <summary>Settings of training from scratch; the defaults are those of longcat-nano.</summary>
public sealed record PretrainingOptions
{
    /// <summary>Tokens per packed row.</summary>
    public int Columns { get; init; } = 256;

    /// <summary>Rows per step.</summary>
    public int Rows { get; init; } = 8;

    /// <summary>The highest learning rate.</summary>
    public double PeakLearningRate { get; init; } = 3e-3;

    /// <summary>Steps of the linear warm-up.</summary>
    public int WarmupSteps { get; init; } = 60;

    /// <summary>Decoupled weight decay of matrices; norms, biases, embeddings and n-gram tables have none.</summary>
    public double WeightDecay { get; init; } = 0.1;

    /// <summary>What the learning rate of embeddings and n-gram tables is multiplied by: their gradients are sparse.</summary>
    public double EmbeddingRateFactor { get; init; } = 3;

    /// <summary>The optimizer's own settings.</summary>
    public AdamWOptions Optimizer { get; init; } = new();

    /// <summary>Weight of the draft head's loss; 0 leaves the head untrained.</summary>
    public double DraftWeight { get; init; } = 0.3;

    /// <summary>How many of a step's rows train the draft head; its output product costs as much as the main one.</summary>
    public int DraftRows { get; init; } = 4;

    /// <summary>K_e: real experts per token that the controller and the balance loss aim at.</summary>
    public double ExpectedRealExperts { get; init; } = 2;

    /// <summary>μ of the bias controller at the peak learning rate; it decays with the rate.</summary>
    public double BiasStep { get; init; } = 0.01;

    /// <summary>α of the load-balance loss; 0 switches it off.</summary>
    public double BalanceWeight { get; init; } = 0.01;

    /// <summary>D, the groups of real experts in the load-balance loss.</summary>
    public int BalanceGroups { get; init; } = 4;

    /// <summary>λ of the hidden z-loss; 0 switches it off.</summary>
    public double HiddenZWeight { get; init; }

    /// <summary>Seed of weights and data order.</summary>
    public ulong Seed { get; init; } = 20250;

    /// <summary>Threads; 0 means one per core.</summary>
    public int Threads { get; init; }

    /// <summary>When training ends.</summary>
    public TrainingBudget Budget { get; init; } = new() { Steps = 1000 };
}
