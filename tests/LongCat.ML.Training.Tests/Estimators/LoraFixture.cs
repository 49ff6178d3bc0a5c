using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;

namespace LongCat.ML.Training.Tests.Estimators;

/// <summary>A random LongCat-Flash-Lite of half a megabyte whose tokens are bytes, and trainers on it that take a second.</summary>
public sealed class LoraFixture : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private int outputs;

    public LoraFixture()
    {
        Checkpoint = RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true });
        File.WriteAllText(
            Path.Combine(Checkpoint, "chat_template.jinja"),
            "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}");
    }

    public string Checkpoint { get; }

    public string Root => folder.Path;

    /// <summary>A path where nothing is.</summary>
    public string Output() => folder[$"tuned-{Interlocked.Increment(ref outputs)}"];

    public static FineTuningOptions Training(long steps) => new()
    {
        Lora = new LoraOptions { Rank = 4, Alpha = 16, Targets = LongCat.ML.Checkpoints.AdapterTargets.AllLinear },
        Steps = steps,
        BatchRows = 4,
        Columns = 64,
        LearningRate = 1e-2,
        EvaluateEvery = 0,
        Threads = 1,
    };

    public LoraTrainerOptions Labels(long steps = 2) => new()
    {
        CheckpointFolder = Checkpoint,
        OutputFolder = Output(),
        TextColumnName = "Text",
        LabelColumnName = "Label",
        FineTuning = Training(steps),
        Seed = 5,
    };

    /// <summary>Texts whose first letter decides the label.</summary>
    internal static LabelledRow[] Rows(int count) => [.. Enumerable.Range(0, count).Select(i => new LabelledRow { Text = (i % 2 == 0 ? "a" : "b") + $" {i * 37 % 100}", Label = i % 2 == 0 ? "even" : "odd", Number = i })];

    internal static IDataView View(MLContext context, IEnumerable<LabelledRow> rows) => context.Data.LoadFromEnumerable(rows);

    public void Dispose()
    {
        new MLContext().LongCat().Release();
        folder.Dispose();
    }
}
