// Fine-tuning with LoRA in ML.NET, the long way: two tasks, a validation view, progress, and everything that can be done with the result.
using System.Globalization;
using LongCat.ML;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Onnx;
using LongCat.ML.Training;
using LongCat.ML.Training.FineTuning;
using LoraFineTuning;
using Microsoft.ML;
using QuickStart;

// The same prompt in training and in scoring: a model that was trained on one wording answers another badly.
const string Question = "Which part of .NET has {text}?\nAnswer:";

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
int rows = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3000;
int steps = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 200;
string checkpoint = Checkout.Folder("samples/models/longcat-nano");
string work = Directory.CreateTempSubdirectory("longcat-lora-").FullName;

// With a seed the same program gives the same weights, bit for bit on the same machine with the same number of threads.
MLContext mlContext = new(seed: 1);

// The trainer tells the context's log of every tenth of the steps, every evaluation, and every row that it leaves out.
mlContext.Log += (_, message) =>
{
    if (message.Source == "LongCat" && message.RawMessage.StartsWith("Training", StringComparison.Ordinal))
    {
        Console.WriteLine($"    {message.RawMessage}");
    }
};

try
{
    MemberRows members = MemberRows.Read(Path.Combine(checkpoint, "held-out.txt"), rows, validation: Math.Max(20, rows / 10), test: Math.Max(20, rows / 10));
    IDataView training = mlContext.Data.LoadFromEnumerable(members.Training);
    IDataView validation = mlContext.Data.LoadFromEnumerable(members.Validation);
    IDataView test = mlContext.Data.LoadFromEnumerable(members.Test);
    Console.WriteLine($"{members.Training.Count} rows to train on, {members.Validation.Count} to watch, {members.Test.Count} to test with; no two parts share a type");

    // ---- Task 1: a label column. The transformer is a classifier. --------------------------------------------------------------------------

    // The adapter. Rank and alpha are those of LoRA; `Afa` makes it AFA-LoRA: between A and B stands an activation, which makes the update nonlinear at first. Its weight β falls from 1 to 0 over the first
    // 30 % of the steps. From then on the adapter is plain LoRA, the remaining steps train it as such, and it can be merged exactly. Leave `Afa` out for plain LoRA; `UseDora`, `UseRsLora` and
    // `Initialization = LoraInitialization.Pissa` are the other relatives. Which matrices are adapted is the model's preset (here: the attention's and the dense projections) unless `Targets` says otherwise.
    LoraOptions adapter = new()
    {
        Rank = 8,
        Alpha = 16,
        Afa = new AfaOptions { Activation = AfaActivation.Silu, Schedule = AfaSchedule.Cosine },
    };

    LoraEstimator trainer = mlContext.LongCat().Trainers.Lora(new LoraTrainerOptions
    {
        CheckpointFolder = checkpoint,
        OutputFolder = Path.Combine(work, "groups"),
        TextColumnName = nameof(MemberRow.Declaration),
        LabelColumnName = nameof(MemberRow.Group),
        Classify = new ClassifyOptions { PromptTemplate = Question },
        FineTuning = new FineTuningOptions
        {
            Lora = adapter,
            Steps = steps,

            // A step reads 4 packed rows of 128 tokens: short examples lie one after another and see nothing of each other.
            BatchRows = 4,
            Columns = 128,

            // A hundred times what one would take for a model of billions of weights: longcat-nano is small, and its adapter too.
            LearningRate = 3e-3,

            // Evaluations on the validation view. The result is the best evaluated step; `Patience` would end the training after so many evaluations without a better one.
            EvaluateEvery = Math.Max(1, steps / 4),
        },
    });

    Console.WriteLine("\ntask 1, the namespace group of a declaration:");
    LoraTransformer groups = trainer.Fit(training, validation);
    Console.WriteLine($"  {groups.Report.TrainableParameters:N0} parameters trained in {groups.Report.Training.Elapsed.TotalSeconds:0} s; validation loss {groups.Report.Training.InitialValidationLoss:0.000} before, "
        + $"{groups.Report.Training.ValidationLoss:0.000} after step {groups.Report.Training.BestStep}; curves of loss, learning rate, beta and gradient norm: {Path.GetFileName(groups.Report.HtmlPath)}");

    // The transformer's label is a key, as that of every classifier of ML.NET.
    double Accuracy(ITransformer classifier)
    {
        IDataView scored = mlContext.Transforms.Conversion.MapKeyToValue(nameof(GroupedRow.PredictedGroup), "PredictedLabel").Fit(classifier.Transform(test)).Transform(classifier.Transform(test));
        return mlContext.Data.CreateEnumerable<GroupedRow>(scored, reuseRowObject: true).Average(row => row.PredictedGroup == row.Group ? 1.0 : 0.0);
    }

    double tuned = Accuracy(groups);
    Console.WriteLine($"  accuracy on types that the model never saw: {tuned:P1}; always '{members.MajorityGroup}': {members.Test.Average(row => row.Group == members.MajorityGroup ? 1.0 : 0.0):P1}");

    // ---- What can be done with the result. -------------------------------------------------------------------------------------------------

    // The adapter alone, as PEFT folder: a fraction of the model's size, and any tool that reads PEFT takes it. `longcat generate <onnx> --adapter <folder>` too.
    groups.SaveAdapter(Path.Combine(work, "groups-adapter"));
    Console.WriteLine($"  adapter: {Megabytes(Path.Combine(work, "groups-adapter")):0.00} MB ({string.Join(", ", Directory.GetFiles(Path.Combine(work, "groups-adapter")).Select(Path.GetFileName).Order(StringComparer.Ordinal))})");

    // A Hugging Face folder with the adapter in the weights: a checkpoint like any other, to be tuned again or exported.
    groups.Merge(Path.Combine(work, "groups-merged"));
    Console.WriteLine($"  merged checkpoint: {Megabytes(Path.Combine(work, "groups-merged")):0.0} MB");

    // An ONNX folder, here with 4-bit weights and 8-bit activations. Calibration should read what the model will read.
    ExportResult small = groups.Export(
        Path.Combine(work, "groups-w4a8"),
        new ExportOptions { Precision = WeightPrecision.W4A8, IncludeDraft = false },
        CalibrationData.FromTexts(members.Training.Select(row => Question.Replace(ClassifyOptions.TextPlaceholder, row.Declaration, StringComparison.Ordinal) + " " + row.Group)));
    ITransformer quantized = mlContext.LongCat().Classify(new ClassifyOptions
    {
        ModelFolder = small.Folder,
        InputColumnName = nameof(MemberRow.Declaration),
        PromptTemplate = Question,
        Labels = groups.Report.Labels,

        // As the trainer writes labels: the line end keeps `System` from being the beginning of `System.IO`.
        LabelTexts = [.. groups.Report.Labels.Select(label => $" {label}\n")],
    }).Fit(test);
    Console.WriteLine($"  W4A8: {Megabytes(small.Folder):0.0} MB instead of {Megabytes(groups.ModelFolder):0.0}, accuracy {Accuracy(quantized):P1}");

    // A saved pipeline. It holds no weights: the tuned model is found by its content (LongCatOptions.ModelSearchPath, the environment variable LONGCAT_MODELS, the stored path, the pipeline's own folder, the
    // application's). Whoever loads it needs LongCat.ML only, neither TorchSharp nor the trainer.
    string zip = Path.Combine(work, "groups.zip");
    mlContext.Model.Save(groups, training.Schema, zip);
    Console.WriteLine($"  saved and loaded ({new FileInfo(zip).Length / 1024.0:0.0} KiB): accuracy {Accuracy(new MLContext().LongCat().Load(zip)):P1}");

    // ---- Task 2: prompts and completions. The transformer generates. -----------------------------------------------------------------------

    Console.WriteLine("\ntask 2, the XML comment of a declaration:");
    LoraTransformer comments = mlContext.LongCat().Trainers.Lora(new LoraTrainerOptions
    {
        CheckpointFolder = checkpoint,
        OutputFolder = Path.Combine(work, "comments"),
        PromptColumnName = nameof(MemberRow.Code),
        CompletionColumnName = nameof(MemberRow.Comment),
        Generate = new GenerateOptions { OutputColumnName = nameof(CommentedRow.Completion), MaxNewTokens = 64 },
        FineTuning = new FineTuningOptions { Lora = adapter, Steps = steps, BatchRows = 4, Columns = 128, LearningRate = 3e-3, EvaluateEvery = Math.Max(1, steps / 4) },
    }).Fit(training, validation);
    Console.WriteLine($"  validation loss {comments.Report.Training.InitialValidationLoss:0.000} before, {comments.Report.Training.ValidationLoss:0.000} after step {comments.Report.Training.BestStep}");
    foreach (CommentedRow row in mlContext.Data.CreateEnumerable<CommentedRow>(comments.Transform(mlContext.Data.LoadFromEnumerable(members.Test.Take(3))), reuseRowObject: false))
    {
        Console.WriteLine($"  {row.Code}{row.Completion}");
        Console.WriteLine($"    documentation:{row.Comment}");
    }

    return 0;
}
finally
{
    mlContext.LongCat().Release();
    Directory.Delete(work, recursive: true);
}

static double Megabytes(string folder) => new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length) / 1e6;
