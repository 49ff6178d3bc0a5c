using LongCat.ML.Checkpoints;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;

namespace LongCat.ML.Training.Tests.Estimators;

/// <summary>What is refused before any row is read or any weight trained.</summary>
public sealed class LoraEstimatorSchemaTests(LoraFixture fixture) : IClassFixture<LoraFixture>
{
    private readonly MLContext context = new(seed: 1);

    [Fact]
    public void Columns_that_make_no_row_are_refused_with_the_kinds_there_are()
    {
        Assert.Contains("none", Refused(options => (options.TextColumnName, options.LabelColumnName) = (null, null)), StringComparison.Ordinal);
        string both = Refused(options => options.PromptColumnName = "P");
        Assert.Contains("PromptColumnName ('P')", both, StringComparison.Ordinal);
        Assert.Contains("CompletionColumnName", both, StringComparison.Ordinal);
        Assert.Contains("RolesColumnName", Refused(options => (options.TextColumnName, options.LabelColumnName, options.RolesColumnName) = (null, null, "R")), StringComparison.Ordinal);

        string Refused(Action<LoraTrainerOptions> change)
        {
            LoraTrainerOptions options = fixture.Labels();
            change(options);
            return Assert.Throws<ArgumentException>(() => context.LongCat().Trainers.Lora(options)).Message;
        }
    }

    [Fact]
    public void Settings_out_of_range_are_named()
    {
        Assert.Contains("CheckpointFolder", Refused(options => options.CheckpointFolder = ""), StringComparison.Ordinal);
        Assert.Contains("OutputFolder", Refused(options => options.OutputFolder = ""), StringComparison.Ordinal);
        Assert.Contains("Lora is null", Refused(options => options.FineTuning = new FineTuningOptions { Lora = null }), StringComparison.Ordinal);
        Assert.Contains("LearningRate", Refused(options => options.FineTuning = new FineTuningOptions { LearningRate = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("PromptTemplate", Refused(options => options.Classify = new ClassifyOptions { PromptTemplate = "no place" }), StringComparison.Ordinal);
        Assert.Contains("MaxRowsInFlight", Refused(options => options.Classify = new ClassifyOptions { MaxRowsInFlight = 0 }), StringComparison.Ordinal);

        string Refused(Action<LoraTrainerOptions> change)
        {
            LoraTrainerOptions options = fixture.Labels();
            change(options);
            return Assert.ThrowsAny<ArgumentException>(() => context.LongCat().Trainers.Lora(options)).Message;
        }
    }

    [Fact]
    public void A_folder_without_a_checkpoint_and_a_folder_that_is_there_are_refused_at_once()
    {
        LoraTrainerOptions options = fixture.Labels();
        options.CheckpointFolder = fixture.Root;
        Assert.Contains("config.json", Assert.Throws<CheckpointException>(() => context.LongCat().Trainers.Lora(options)).Message, StringComparison.Ordinal);

        options = fixture.Labels();
        options.OutputFolder = fixture.Checkpoint;
        options.Overwrite = true;
        Assert.Contains("is not a folder that this trainer made", Assert.Throws<CheckpointException>(() => context.LongCat().Trainers.Lora(options)).Message, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(fixture.Checkpoint, "config.json")));

        options = fixture.Labels();
        options.OutputFolder = Path.Combine(fixture.Checkpoint, "config.json");
        Assert.Contains("is a file", Assert.Throws<CheckpointException>(() => context.LongCat().Trainers.Lora(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Quantized_weights_are_not_trained_on_for_an_export_of_others()
    {
        LoraTrainerOptions options = fixture.Labels();
        options.FineTuning = options.FineTuning with { Base = LongCat.ML.Modules.BaseWeights.W4A8 };
        options.Export = new LongCat.ML.Onnx.ExportOptions();
        string message = Assert.Throws<ArgumentException>(() => context.LongCat().Trainers.Lora(options)).Message;
        Assert.Contains("Base is W4A8, and Export writes the checkpoint's own precision", message, StringComparison.Ordinal);
        options.Export = new LongCat.ML.Onnx.ExportOptions { OntoUnquantized = true };
        Assert.NotNull(context.LongCat().Trainers.Lora(options));
    }

    [Fact]
    public void A_chat_needs_a_template()
    {
        string bare = Path.Combine(fixture.Root, "bare");
        Directory.CreateDirectory(bare);
        foreach (string file in Directory.GetFiles(fixture.Checkpoint).Where(file => !file.EndsWith("jinja", StringComparison.Ordinal)))
        {
            File.Copy(file, Path.Combine(bare, Path.GetFileName(file)), overwrite: true);
        }

        LoraTrainerOptions options = new() { CheckpointFolder = bare, OutputFolder = fixture.Output(), RolesColumnName = "Roles", ContentsColumnName = "Contents" };
        Assert.Contains("chat template", Assert.Throws<CheckpointException>(() => context.LongCat().Trainers.Lora(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_column_is_named_with_those_that_are_there_by_Fit_and_by_a_chain()
    {
        Counted<LabelledRow> rows = new(LoraFixture.Rows(4));
        LoraTrainerOptions options = fixture.Labels();
        options.LabelColumnName = "Group";
        string message = Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows))).Message;
        Assert.Contains("'Group'", message, StringComparison.Ordinal);
        Assert.Contains("'Label'", message, StringComparison.Ordinal);
        string chained = Assert.Throws<ArgumentOutOfRangeException>(() => context.Transforms.CopyColumns("Copy", "Text").Append(context.LongCat().Trainers.Lora(options)).Fit(context.Data.LoadFromEnumerable(rows))).Message;
        Assert.Contains("'Group'", chained, StringComparison.Ordinal);
        Assert.Equal(0, rows.Read);
        Assert.False(Directory.Exists(options.OutputFolder));
    }

    [Fact]
    public void A_column_of_another_type_is_named_with_what_was_expected()
    {
        string message = Refused(options => options.TextColumnName = "Number");
        Assert.Contains("'Number'", message, StringComparison.Ordinal);
        Assert.Contains("expected text (String)", message, StringComparison.Ordinal);
        Assert.Contains("Int32", message, StringComparison.Ordinal);
        Assert.Contains("text (String) or a key", Refused(options => options.LabelColumnName = "Number"), StringComparison.Ordinal);
        Assert.Contains("a vector of text", Refused(options => (options.TextColumnName, options.LabelColumnName, options.RolesColumnName, options.ContentsColumnName) = (null, null, "Label", "Text")), StringComparison.Ordinal);

        string Refused(Action<LoraTrainerOptions> change)
        {
            LoraTrainerOptions options = fixture.Labels();
            change(options);
            return Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Trainers.Lora(options).Fit(LoraFixture.View(context, LoraFixture.Rows(4)))).Message;
        }
    }

    [Fact]
    public void A_validation_view_is_checked_before_training()
    {
        LoraTrainerOptions options = fixture.Labels();
        Counted<LabelledRow> rows = new(LoraFixture.Rows(4));
        IDataView validation = context.Data.LoadFromEnumerable(new[] { new PairRow() });
        Assert.Contains("'Text'", Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Trainers.Lora(options).Fit(context.Data.LoadFromEnumerable(rows), validation)).Message, StringComparison.Ordinal);
        Assert.Equal(0, rows.Read);
    }

    [Fact]
    public void A_view_without_rows_and_one_without_usable_rows_say_so()
    {
        LoraEstimator trainer = context.LongCat().Trainers.Lora(fixture.Labels());
        Assert.Contains("has no row", Assert.Throws<FineTuningException>(() => trainer.Fit(LoraFixture.View(context, []))).Message, StringComparison.Ordinal);
        string message = Assert.Throws<FineTuningException>(() => trainer.Fit(LoraFixture.View(context, [new LabelledRow { Text = "", Label = "even" }, new LabelledRow { Text = "b", Label = null }]))).Message;
        Assert.Contains("2 rows", message, StringComparison.Ordinal);
        Assert.Contains("row 1: 'Text' is empty", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Labels_that_cannot_be_told_apart_are_refused()
    {
        LabelledRow[] rows = [.. LoraFixture.Rows(4)];
        Assert.Contains("the one label 'even'", Refused([rows[0], rows[2]], fixture.Labels()), StringComparison.Ordinal);
        LoraTrainerOptions options = fixture.Labels();
        options.LabelTexts = new Dictionary<string, string> { ["even"] = " e", ["odd"] = " ex" };
        string nested = Refused(rows, options);
        Assert.Contains("' e'", nested, StringComparison.Ordinal);
        Assert.Contains("'odd'", nested, StringComparison.Ordinal);

        string Refused(LabelledRow[] some, LoraTrainerOptions settings) =>
            Assert.Throws<ArgumentException>(() => context.LongCat().Trainers.Lora(settings).Fit(LoraFixture.View(context, some))).Message;
    }

    [Fact]
    public void A_key_without_text_values_is_no_label()
    {
        IDataView view = context.Data.LoadFromEnumerable(new[] { new NamelessKey { Text = "a", Label = 1 } });
        string message = Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Trainers.Lora(fixture.Labels()).Fit(view)).Message;
        Assert.Contains("no text values", message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_shape_of_the_output_is_known_before_training()
    {
        LoraEstimator trainer = context.LongCat().Trainers.Lora(fixture.Labels());

        // A chain asks every estimator for its shape before it fits the next: a step behind the trainer finds the label.
        var chain = trainer.Append(context.Transforms.Conversion.MapKeyToValue("Name", "PredictedLabel"));
        IDataView data = LoraFixture.View(context, LoraFixture.Rows(8));
        ITransformer fitted = chain.Fit(data);
        Assert.Contains(fitted.Transform(data).Schema, column => column.Name == "Name");
    }

    private sealed class NamelessKey
    {
        public string Text { get; set; } = "";

        [Microsoft.ML.Data.KeyType(3)]
        public uint Label { get; set; }
    }
}
