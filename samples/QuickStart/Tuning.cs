using LongCat.ML;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Onnx;
using LongCat.ML.Training;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;

namespace QuickStart;

/// <summary>The model learns to name the namespace group of a bare signature, and is compressed: accuracy before, after, and after quantization.</summary>
internal static class Tuning
{
    public const int TrainingRows = 4000;

    /// <summary>A prompt that longcat-nano has never read: it knows signature, summary and namespace in this order only.</summary>
    private const string Prompt = "Which part of .NET has {text}?\nAnswer:";

    public static void Run(MLContext mlContext, string checkpoint, string exported, HeldOutRows held, int steps, string work)
    {
        IDataView training = mlContext.Data.LoadFromEnumerable(held.Training);
        IDataView rows = mlContext.Data.LoadFromEnumerable(held.Rows);

        // 1. Before: the exported model, asked the new question.
        double before = Accuracy(mlContext, exported, rows, held, [.. held.Groups.Select(group => $" {group}\n")]);

        // 2. AFA-LoRA: the adapter starts with an activation in its middle, which fades to nothing during the first third of the steps; what is left is plain LoRA and can be merged.
        LoraTransformer tuned = mlContext.LongCat().Trainers.Lora(new LoraTrainerOptions
        {
            CheckpointFolder = checkpoint,
            OutputFolder = Path.Combine(work, "tuned"),
            TextColumnName = nameof(ApiRow.Declaration),
            LabelColumnName = nameof(ApiRow.TrueGroup),
            Classify = new ClassifyOptions { PromptTemplate = Prompt },
            FineTuning = new FineTuningOptions
            {
                Lora = new LoraOptions { Rank = 8, Alpha = 16, Afa = new AfaOptions { Activation = AfaActivation.Silu } },
                Steps = steps,
                BatchRows = 4,
                Columns = 128,
                LearningRate = 3e-3,
            },
        }).Fit(training);
        LoraReport report = tuned.Report;
        Console.WriteLine(
            $"fine-tuned with AFA-LoRA: {report.TrainingRows} rows, {report.Training.Steps} steps, {report.TrainableParameters:N0} parameters, in {report.Training.Elapsed.TotalSeconds:0} s; "
            + $"loss {report.Steps[0].Loss:0.000} at first, {report.Training.TrainingLoss:0.000} at the end");
        double after = Accuracy(tuned.Transform(rows), mlContext, report.Labels, held);

        // 3. The tuned model with 4-bit weights and 8-bit activations, calibrated on such questions as it will be asked.
        ExportResult small = tuned.Export(
            Path.Combine(work, "tuned-w4a8"),
            new ExportOptions { Precision = WeightPrecision.W4A8, IncludeDraft = false },
            CalibrationData.FromTexts(held.Training.Select(row => Prompt.Replace(ClassifyOptions.TextPlaceholder, row.Declaration, StringComparison.Ordinal))));
        double quantized = Accuracy(mlContext, small.Folder, rows, held, [.. held.Groups.Select(group => $" {group}\n")]);

        double majority = held.Rows.Average(row => row.TrueGroup == held.MajorityGroup ? 1.0 : 0.0);
        static long Bytes(string folder) => new DirectoryInfo(folder).EnumerateFiles("model.onnx*").Sum(file => file.Length);
        Console.WriteLine($"namespace group of {held.Rows.Count} bare signatures of types that the model never saw:");
        Console.WriteLine($"  before                    {before,7:P1}");
        Console.WriteLine($"  after fine-tuning         {after,7:P1}   ({Bytes(tuned.ModelFolder) / 1e6:0.0} MB)");
        Console.WriteLine($"  after quantization (W4A8) {quantized,7:P1}   ({Bytes(small.Folder) / 1e6:0.0} MB)");
        Console.WriteLine($"  always '{held.MajorityGroup}' {majority,7:P1}");
    }

    private static double Accuracy(MLContext mlContext, string modelFolder, IDataView rows, HeldOutRows held, IReadOnlyList<string> labelTexts)
    {
        IDataView scored = mlContext.LongCat().Classify(new ClassifyOptions
        {
            ModelFolder = modelFolder,
            InputColumnName = nameof(ApiRow.Declaration),
            PromptTemplate = Prompt,
            Labels = held.Groups,
            LabelTexts = labelTexts,
        }).Fit(rows).Transform(rows);
        return Accuracy(scored, mlContext, held.Groups, held);
    }

    private static double Accuracy(IDataView scored, MLContext mlContext, IReadOnlyList<string> labels, HeldOutRows held) =>
        mlContext.Data.CreateEnumerable<Labelled>(scored, reuseRowObject: false).Average(row => row.PredictedLabel > 0 && labels[(int)row.PredictedLabel - 1] == row.TrueGroup ? 1.0 : 0.0);

    private sealed class Labelled
    {
        public string TrueGroup { get; set; } = "";

        public uint PredictedLabel { get; set; }
    }
}
