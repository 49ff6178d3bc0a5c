namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>How large the study is. The defaults take some ten minutes of two cores.</summary>
internal sealed record ThinkingPlan
{
    /// <summary>Steps of a question.</summary>
    public int SumSteps { get; init; } = 5;

    /// <summary>How many of the 180 facts no training example holds.</summary>
    public int UnreadFacts { get; init; } = 24;

    /// <summary>Questions that the model learns to answer.</summary>
    public int TrainingQuestions { get; init; } = 12000;

    /// <summary>Steps on these questions alone.</summary>
    public int AnswerSteps { get; init; } = 320;

    /// <summary>Steps on questions and summaries together.</summary>
    public int SummarySteps { get; init; } = 450;

    /// <summary>Packed rows of a step.</summary>
    public int BatchRows { get; init; } = 2;

    /// <summary>Tokens of a packed row.</summary>
    public int Columns { get; init; } = 256;

    /// <summary>The highest learning rate of the first steps.</summary>
    public double Rate { get; init; } = 2e-3;

    /// <summary>The highest learning rate of the others.</summary>
    public double SummaryRate { get; init; } = 1e-3;

    /// <summary>Training questions whose answers the model draws itself, as candidates of the summaries that it learns from.</summary>
    public int SummaryQuestions { get; init; } = 400;

    /// <summary>Summaries that are made of the candidates of each of these questions.</summary>
    public int SummariesPerQuestion { get; init; } = 4;

    /// <summary>Test questions of a seed; seeds have different ones.</summary>
    public int TestQuestions { get; init; } = 160;

    /// <summary>A seed is a model: data, order of training and drawing.</summary>
    public IReadOnlyList<int> Seeds { get; init; } = [1, 2, 3];

    /// <summary>Trajectories of a round.</summary>
    public IReadOnlyList<int> Widths { get; init; } = [2, 4, 8];

    /// <summary>The most rounds.</summary>
    public int Rounds { get; init; } = 2;

    /// <summary>Answers that are drawn for voting: as many as the calls of the widest heavy thinking.</summary>
    public int Samples => (Widths.Max() * Rounds) + 1;

    public static ThinkingPlan Quick { get; } = new()
    {
        TrainingQuestions = 200, AnswerSteps = 4, SummarySteps = 4, SummaryQuestions = 12, TestQuestions = 6, Seeds = [1, 2], Widths = [2, 4],
    };
}
