namespace LongCat.ML.Benchmarks.Lora;

/// <summary>How large the study is. The defaults take about forty minutes of two quiet cores.</summary>
internal sealed record StudyPlan
{
    /// <summary>Training rows of a task.</summary>
    public int TrainingRows { get; init; } = 2400;

    /// <summary>Rows of each held-out part.</summary>
    public int HeldOutRows { get; init; } = 300;

    public int Steps { get; init; } = 120;

    /// <summary>Packed rows of a step.</summary>
    public int BatchRows { get; init; } = 4;

    /// <summary>Tokens of a packed row.</summary>
    public int Columns { get; init; } = 128;

    /// <summary>The seeds of the figures.</summary>
    public IReadOnlyList<ulong> Seeds { get; init; } = [1, 2, 3, 4, 5];

    /// <summary>The seed with which learning rates are chosen; none of <see cref="Seeds"/>.</summary>
    public ulong GridSeed { get; init; } = 1000;

    /// <summary>How often the grid may grow beyond its ends, where the best rate is one.</summary>
    public int Extensions { get; init; } = 2;

    /// <summary>Steps whose times and memory are measured, without two that warm up.</summary>
    public int TimedSteps { get; init; } = 15;

    /// <summary>The methods; null: all.</summary>
    public IReadOnlyList<string>? Methods { get; init; }

    /// <summary>The learning rate of every run, where it is not chosen from the grid.</summary>
    public double? Rate { get; init; }

    /// <summary>What is left of the differences between AFA-LoRA and LoRA in three times as many steps, with the rate that the grid gave all of them.</summary>
    public static StudyPlan Longer { get; } = new() { Steps = 360, Seeds = [1, 2, 3], Rate = 3e-3, Methods = ["LoRA", "AFA-LoRA ReLU, linear", "AFA-LoRA GELU, cosine"] };

    public static StudyPlan Quick { get; } = new() { TrainingRows = 60, HeldOutRows = 20, Steps = 3, Seeds = [1, 2], Extensions = 0, TimedSteps = 2 };
}
