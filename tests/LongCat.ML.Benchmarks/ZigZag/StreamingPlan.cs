using LongCat.ML.Checkpoints;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>How large the study of streaming attentions' quality is. The defaults take about a quarter of an hour of CPU time, a good third of it one after another (the extension), the rest side by side.</summary>
internal sealed record StreamingPlan
{
    /// <summary>Contexts in tokens, each a multiple of the one before; the model is extended to the longest.</summary>
    public IReadOnlyList<int> Contexts { get; init; } = [2048, 8192, 32_768];

    /// <summary>The context in which every choice is measured; the others only for the full model and the choice of lowest α.</summary>
    public int ChoiceContext { get; init; } = 8192;

    /// <summary>Held-out tokens, a multiple of the longest context: every context reads the same ones.</summary>
    public int HeldOutTokens { get; init; } = 32_768;

    /// <summary>Tokens of a training row, the context that the published model was made for.</summary>
    public int Columns { get; init; } = 2048;

    /// <summary>Steps of one row each in which the extended model, still full, learns to read rows of <see cref="Columns"/>.</summary>
    public int ExtensionSteps { get; init; } = 160;

    /// <summary>Tokens of the longest training rows.</summary>
    public int LongColumns { get; init; } = 8192;

    /// <summary>Steps of one row each in which it then reads rows of <see cref="LongColumns"/>.</summary>
    public int LongSteps { get; init; } = 10;

    /// <summary>Steps of one row each in which α is trained.</summary>
    public int CalibrationSteps { get; init; } = 48;

    /// <summary>Steps of one row each of sparse fine-tuning.</summary>
    public int TuningSteps { get; init; } = 24;

    /// <summary>The highest learning rate of all weights while rows of <see cref="Columns"/> are learned.</summary>
    public double ExtensionRate { get; init; } = 1e-3;

    /// <summary>The highest learning rate of all weights afterwards.</summary>
    public double TuningRate { get; init; } = 5e-4;

    /// <summary>The highest learning rate of α: it must be able to cross 0..1 in <see cref="CalibrationSteps"/>.</summary>
    public double AlphaRate { get; init; } = 6e-2;

    /// <summary>The share of attentions that become streaming.</summary>
    public double Share { get; init; } = 0.5;

    /// <summary>Seeds of the random choices.</summary>
    public IReadOnlyList<ulong> Seeds { get; init; } = [1, 2, 3, 4, 5];

    /// <summary>Patterns; of the first one choices are tuned too. The default is the published pattern.</summary>
    public IReadOnlyList<StreamingAttentionConfig> Patterns { get; init; } = [Pattern(128, 1, 7)];

    /// <summary>Contexts with other lines and other order of the needle test, for each context's length.</summary>
    public int NeedleTrials { get; init; } = 1;

    public static StreamingPlan Quick { get; } = new()
    {
        Contexts = [512, 4096], ChoiceContext = 4096, HeldOutTokens = 4096, Columns = 1024, ExtensionSteps = 2, LongColumns = 2048, LongSteps = 1, CalibrationSteps = 2, TuningSteps = 2, Patterns = [Pattern(16, 1, 3)], NeedleTrials = 1,
    };

    /// <summary>A pattern; which attentions it is for is said where they are chosen.</summary>
    private static StreamingAttentionConfig Pattern(int block, int sinks, int locals) => new() { BlockSize = block, SinkBlocks = sinks, LocalBlocks = locals, AttentionLayers = [0] };
}
