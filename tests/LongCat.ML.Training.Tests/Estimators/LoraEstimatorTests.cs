using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Training.Tests.Estimators;

public sealed class LoraEstimatorTests(LoraFixture fixture) : IClassFixture<LoraFixture>
{
    private readonly MLContext context = new(seed: 1);

    [Fact]
    public void A_tuned_classifier_answers_as_its_rows_taught_it()
    {
        LoraTrainerOptions options = fixture.Labels(steps: 60);
        options.FineTuning = options.FineTuning with { Lora = options.FineTuning.Lora! with { Afa = new AfaOptions { Activation = AfaActivation.Silu } } };
        LabelledRow[] rows = LoraFixture.Rows(40);
        LoraTransformer tuned = context.LongCat().Trainers.Lora(options).Fit(LoraFixture.View(context, rows));
        Assert.Equal(["even", "odd"], tuned.Report.Labels);
        Assert.Equal(60, tuned.Report.Steps.Count);
        Assert.True(tuned.Report.Steps[0].Beta > 0.9);
        Assert.Equal(0, tuned.Report.Steps[^1].Beta);
        Assert.True(tuned.Report.Training.TrainingLoss < 0.5 * tuned.Report.Steps[0].Loss, $"loss {tuned.Report.Steps[0].Loss} became {tuned.Report.Training.TrainingLoss}");
        PredictedRow[] predicted = Predict(tuned, [new LabelledRow { Text = "a 55" }, new LabelledRow { Text = "b 55" }, new LabelledRow { Text = "" }]);
        Assert.Equal([1u, 2u, 0u], predicted.Select(row => row.PredictedLabel));
        Assert.Equal(1, predicted[0].Score.Sum(), 1e-5);
        Assert.StartsWith("<!DOCTYPE html>", File.ReadAllText(tuned.Report.HtmlPath), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void A_label_that_is_a_key_keeps_its_keys()
    {
        LabelledRow[] rows = LoraFixture.Rows(20);
        IDataView view = LoraFixture.View(context, rows);

        // Keys by value, so that the first row's label is not the first key.
        IDataView labels = context.Data.LoadFromEnumerable(new[] { new KeyName { Name = "zero" }, new KeyName { Name = "odd" }, new KeyName { Name = "even" } });
        var chain = context.Transforms.Conversion.MapValueToKey("Label", "Label", keyData: labels).Append(context.LongCat().Trainers.Lora(fixture.Labels(steps: 90)));
        ITransformer tuned = chain.Fit(view);
        IDataView scored = tuned.Transform(view);
        VBuffer<ReadOnlyMemory<char>> names = default;
        scored.Schema["PredictedLabel"].GetKeyValues(ref names);
        Assert.Equal(["zero", "odd", "even"], names.DenseValues().Select(name => name.ToString()));
        uint[] predicted = [.. context.Data.CreateEnumerable<PredictedRow>(scored, false).Select(row => row.PredictedLabel)];
        Assert.Equal(rows.Select(row => row.Label == "odd" ? 2u : 3u), predicted);
    }

    [Fact]
    public void Prompts_and_completions_teach_to_write()
    {
        LoraTrainerOptions options = new()
        {
            CheckpointFolder = fixture.Checkpoint,
            OutputFolder = fixture.Output(),
            PromptColumnName = "Prompt",
            CompletionColumnName = "Completion",
            Generate = new GenerateOptions { OutputColumnName = "Written", MaxNewTokens = 12 },
            FineTuning = LoraFixture.Training(80),
        };
        PairRow[] rows = [new() { Prompt = "[user]hi\n[assistant]", Completion = "hello\n" }, new() { Prompt = "[user]bye\n[assistant]", Completion = "ciao\n" }];
        LoraTransformer tuned = context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows));
        CompletedRow[] written = [.. context.Data.CreateEnumerable<CompletedRow>(tuned.Transform(context.Data.LoadFromEnumerable(rows)), false)];
        Assert.Equal(["hello\n", "ciao\n"], written.Select(row => row.Written));
    }

    [Fact]
    public void Chats_teach_to_answer()
    {
        LoraTrainerOptions options = new()
        {
            CheckpointFolder = fixture.Checkpoint,
            OutputFolder = fixture.Output(),
            RolesColumnName = "Roles",
            ContentsColumnName = "Contents",
            Generate = new GenerateOptions { MaxNewTokens = 12 },
            FineTuning = LoraFixture.Training(160),
            Seed = 5,
        };
        ChatRow[] rows = [Chat("hi", "hello"), Chat("bye", "ciao")];
        LoraTransformer tuned = context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows));
        ChatRow[] questions = [.. rows.Select(row => new ChatRow { Roles = row.Roles[..1], Contents = row.Contents[..1] })];
        Assert.Equal(["hello", "ciao"], context.Data.CreateEnumerable<AnsweredRow>(tuned.Transform(context.Data.LoadFromEnumerable(questions)), false).Select(row => row.Completion.Trim()));

        static ChatRow Chat(string question, string answer) => new() { Roles = ["user", "assistant"], Contents = [question, answer] };
    }

    [Fact]
    public void Malformed_chats_fail_by_their_row_or_are_left_out()
    {
        ChatRow[] rows = [new() { Roles = ["user", "assistant"], Contents = ["hi", "hello"] }, new() { Roles = ["user"], Contents = ["hi", "hello"] }, new(), new() { Roles = ["user"], Contents = ["hi"] }];
        LoraTrainerOptions options = new() { CheckpointFolder = fixture.Checkpoint, OutputFolder = fixture.Output(), RolesColumnName = "Roles", ContentsColumnName = "Contents", FineTuning = LoraFixture.Training(1) };
        string message = Assert.Throws<FineTuningException>(() => context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows))).Message;
        Assert.Contains("row 2", message, StringComparison.Ordinal);
        Assert.Contains("1 roles and 2 contents", message, StringComparison.Ordinal);

        options.BadRows = BadRows.Skip;
        LoraReport report = context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows)).Report;
        Assert.Equal(4, report.TrainingRows);
        Assert.Equal(2, report.UnusableRows);
        Assert.Equal(1, report.Training.Counts.WithoutTarget);
        Assert.Equal(1, report.Training.Counts.Train);
    }

    [Fact]
    public void Texts_are_learned_whole_from_one_pass_and_the_log_hears_of_it()
    {
        List<string> log = [];
        context.Log += (_, message) => log.Add(message.RawMessage);
        LoraTrainerOptions options = fixture.Labels(steps: 10);
        options.LabelColumnName = null;
        options.FineTuning = options.FineTuning with { EvaluateEvery = 5 };
        Counted<LabelledRow> rows = new([.. LoraFixture.Rows(12), new LabelledRow { Text = null }]);
        List<FineTuningStep> heard = [];
        LoraTransformer tuned = context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows), LoraFixture.View(context, LoraFixture.Rows(4)), new Listener(heard));
        Assert.Equal((1, 13), (rows.Passes, rows.Read));
        Assert.Equal(Enumerable.Range(1, 10).Select(step => (long)step), heard.Select(step => step.Step));
        Assert.True(tuned.Report.Training.ValidationLoss < tuned.Report.Training.InitialValidationLoss);
        Assert.Equal((13L, 4L), (tuned.Report.TrainingRows, tuned.Report.ValidationRows));
        Assert.Equal(1, tuned.Report.UnusableRows);
        Assert.Contains("row 13", tuned.Report.FirstUnusableRow, StringComparison.Ordinal);
        Assert.Contains(log, line => line.Contains("row 13", StringComparison.Ordinal));
        Assert.Contains(log, line => line.StartsWith("Training: step 5 of 10", StringComparison.Ordinal) && line.Contains("validation", StringComparison.Ordinal));
    }

    [Fact]
    public void The_seed_of_the_context_decides_the_weights()
    {
        byte[] first = Train(7), again = Train(7), other = Train(8);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);

        byte[] Train(int seed)
        {
            LoraTrainerOptions options = fixture.Labels();
            options.Seed = null;
            MLContext seeded = new(seed);
            return Weights(seeded.LongCat().Trainers.Lora(options).Fit(LoraFixture.View(seeded, LoraFixture.Rows(8))));
        }
    }

    [Fact]
    public void A_cancelled_training_leaves_no_folder_and_continues_to_the_same_weights_where_it_keeps_states()
    {
        LabelledRow[] rows = LoraFixture.Rows(16);
        byte[] unbroken = Weights(context.LongCat().Trainers.Lora(fixture.Labels(steps: 6)).Fit(LoraFixture.View(context, rows)));
        LoraTrainerOptions options = fixture.Labels(steps: 6);
        options.FineTuning = options.FineTuning with { StateFolder = fixture.Output() };
        using CancellationTokenSource stop = new();
        LoraEstimator trainer = context.LongCat().Trainers.Lora(options);
        Assert.ThrowsAny<OperationCanceledException>(() => trainer.Fit(LoraFixture.View(context, rows), null, new Listener([], step => CancelAt(step, 3, stop)), stop.Token));
        Assert.False(Directory.Exists(options.OutputFolder));
        Assert.Empty(Directory.GetDirectories(fixture.Root, ".*"));
        LoraTransformer tuned = trainer.Fit(LoraFixture.View(context, rows));
        Assert.Equal(3, tuned.Report.Steps.Count);
        Assert.Equal(unbroken, Weights(tuned));
    }

    [Fact]
    public void A_saved_pipeline_finds_its_model_by_content_or_says_where_it_looked()
    {
        LabelledRow[] rows = LoraFixture.Rows(8);
        LoraTransformer tuned = context.LongCat().Trainers.Lora(fixture.Labels()).Fit(LoraFixture.View(context, rows));
        PredictedRow[] expected = Predict(tuned, rows);
        string zip = Path.Combine(fixture.Root, $"{Guid.NewGuid():N}.zip");
        context.Model.Save(tuned, LoraFixture.View(context, rows).Schema, zip);
        AssertSame(expected, Predict(new MLContext().Model.Load(zip, out _), rows));
        AssertSame(expected, Predict(new MLContext().LongCat().Load(zip), rows));

        string moved = fixture.Output();
        Directory.Move(tuned.Folder, moved);
        context.LongCat().Release();
        Exception lost = Assert.ThrowsAny<Exception>(() => Predict(new MLContext().LongCat().Load(zip), rows));
        Assert.Contains(tuned.ModelFolder, lost.ToString(), StringComparison.Ordinal);
        try
        {
            LongCatOptions.ModelSearchPath = [moved];
            AssertSame(expected, Predict(new MLContext().LongCat().Load(zip), rows));
        }
        finally
        {
            LongCatOptions.ModelSearchPath = [];
        }

        Assert.Contains(tuned.AdapterFolder, Assert.Throws<AdapterException>(() => tuned.SaveAdapter(fixture.Output())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_adapter_the_merged_checkpoint_and_the_exports_are_one_model()
    {
        LabelledRow[] rows = LoraFixture.Rows(8);
        LoraTransformer tuned = context.LongCat().Trainers.Lora(fixture.Labels(steps: 10)).Fit(LoraFixture.View(context, rows));
        PredictedRow[] expected = Predict(tuned, rows);

        string adapter = fixture.Output();
        tuned.SaveAdapter(adapter);
        using (PeftAdapter saved = PeftAdapter.Load(adapter))
        {
            Assert.Equal(4, saved.Config.Rank);
            Assert.Equal(tuned.Report.TrainableParameters, saved.Modules.Values.Sum(module => (long)module.A.Length + module.B.Length));
        }

        string merged = fixture.Output();
        tuned.Merge(merged);
        string exported = context.LongCat().ExportToOnnx(merged, fixture.Output(), new ExportOptions { IncludeDraft = false }).Folder;
        AssertSame(expected, Predict(Classifier(exported, tuned), rows));
        AssertSame(expected, Predict(Classifier(tuned.Export(fixture.Output()).Folder, tuned), rows));

        // In 4 bits a random model is another one; it must run and give probabilities.
        string small = tuned.Export(fixture.Output(), new ExportOptions { Precision = WeightPrecision.W4A8, IncludeDraft = false }, CalibrationData.FromTexts(rows.Select(row => row.Text))).Folder;
        Assert.All(Predict(Classifier(small, tuned), rows), row => Assert.Equal(1, row.Score.Sum(), 1e-5));
    }

    [Fact]
    public void What_was_trained_on_4_bits_is_exported_in_4_bits_and_merged_elsewhere_only_on_request()
    {
        LoraTrainerOptions options = fixture.Labels();
        options.FineTuning = options.FineTuning with { Base = LongCat.ML.Modules.BaseWeights.W4A8 };
        LoraTransformer tuned = context.LongCat().Trainers.Lora(options).Fit(LoraFixture.View(context, LoraFixture.Rows(8)));
        Assert.Equal(WeightPrecision.W4A8, ModelManifest.Read(tuned.ModelFolder).Precision);
        Assert.Equal(8, Predict(tuned, LoraFixture.Rows(8)).Count());
        string merged = fixture.Output();
        Assert.Contains("was trained on w4a8 weights", Assert.Throws<AdapterException>(() => tuned.Merge(merged)).Message, StringComparison.Ordinal);
        Assert.Contains("was trained on w4a8 weights", Assert.Throws<AdapterException>(() => tuned.Export(merged, new ExportOptions())).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(merged));
        tuned.Merge(merged, new MergeOptions { OntoUnquantized = true });
        Assert.True(File.Exists(Path.Combine(merged, "model.safetensors")));
    }

    [Fact]
    public void A_trainers_own_folder_is_replaced_on_request()
    {
        LoraTrainerOptions options = fixture.Labels();
        IDataView view = LoraFixture.View(context, LoraFixture.Rows(8));
        LoraTransformer first = context.LongCat().Trainers.Lora(options).Fit(view);
        Assert.Throws<LongCat.ML.Checkpoints.CheckpointException>(() => context.LongCat().Trainers.Lora(options));
        options.Overwrite = true;
        options.Seed = 6;
        LoraTransformer second = context.LongCat().Trainers.Lora(options).Fit(view);
        Assert.Equal(first.Folder, second.Folder);
        Assert.NotEqual(first.ModelContentHash, second.ModelContentHash);
    }

    private ITransformer Classifier(string folder, LoraTransformer tuned) => context.LongCat().Classify(new ClassifyOptions
    {
        ModelFolder = folder,
        Labels = tuned.Report.Labels,
        LabelTexts = [.. tuned.Report.Labels.Select(label => $" {label}\n")],
    }).Fit(LoraFixture.View(context, []));

    private PredictedRow[] Predict(ITransformer transformer, LabelledRow[] rows) => [.. context.Data.CreateEnumerable<PredictedRow>(transformer.Transform(LoraFixture.View(context, rows)), false)];

    private static void AssertSame(PredictedRow[] expected, PredictedRow[] actual)
    {
        Assert.Equal(expected.Select(row => row.PredictedLabel), actual.Select(row => row.PredictedLabel));
        Assert.Equal(expected.SelectMany(row => row.Score), actual.SelectMany(row => row.Score));
    }

    private static void CancelAt(FineTuningStep step, long last, CancellationTokenSource stop)
    {
        if (step.Step == last)
        {
            stop.Cancel();
        }
    }

    private static byte[] Weights(LoraTransformer tuned) => File.ReadAllBytes(Path.Combine(tuned.AdapterFolder, "adapter_model.safetensors"));

    private sealed class KeyName
    {
        public string Name { get; set; } = "";
    }

    private sealed class Listener(List<FineTuningStep> heard, Action<FineTuningStep>? then = null) : IProgress<FineTuningStep>
    {
        public void Report(FineTuningStep value)
        {
            heard.Add(value);
            then?.Invoke(value);
        }
    }
}
