using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>Rows of a Generate step with settings of their own.</summary>
public sealed class RowOptionsTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [Fact]
    public void Rows_follow_their_own_settings_and_the_steps_where_they_have_none()
    {
        OptionRow[] rows =
        [
            new() { Text = "a" },
            new() { Text = "b", New = 2, Heat = 0.5f, Kept = 7, Mass = 0.25f, Number = 9 },
            new() { Text = "c", Heat = 0 },
            new() { Text = "d", Stops = ["", "d"] },
            new() { Text = "e", Kept = 0, Number = 0 },
            new() { New = 0 },
        ];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        GenerateOptions options = Options();
        options.LogProbabilitiesColumnName = "LogProbabilities";
        ITransformer pipeline = context.LongCat().Generate(options).Fit(data);
        string zip = model.FileInRoot("options.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        var fresh = new MLContext();
        foreach (ITransformer transformer in new[] { pipeline, fresh.LongCat().Load(zip), fresh.Model.Load(zip, out _) })
        {
            IDataView view = transformer.Transform(data);
            Assert.DoesNotContain(view.Schema, column => !column.IsHidden && column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
            Completed[] completed = [.. context.Data.CreateEnumerable<Completed>(view, false)];
            Assert.Equal(["<a> at 1.5, 3, 1, 5", "<b> at 0.5, 7, 0.25, 9", "<c>", "<", "<e> at 1.5, 0, 1, 0", ""], completed.Select(row => row.Completion));
            Assert.Equal(["stop", "length", "stop", "stop", "stop", "empty"], completed.Select(row => row.FinishReason));
            Assert.Equal([4, 2, 4, 4, 4, 0], completed.Select(row => row.LogProbabilities.Length));
            using PredictionEngine<OptionRow, Completed> engine = context.Model.CreatePredictionEngine<OptionRow, Completed>(transformer);
            Assert.Equal(completed.Select(row => row.Completion), rows.Select(row => engine.Predict(row).Completion));
        }
    }

    [Fact]
    public void A_single_column_and_a_lone_stop_string_do()
    {
        IDataView data = context.Data.LoadFromEnumerable(new[] { new OptionRow { Text = "xyz", Stop = "y" }, new OptionRow { Text = "xyz" } });
        ITransformer pipeline = context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder, StopStringsColumnName = "Stop", StopStrings = ["x"] }).Fit(data);
        string zip = model.FileInRoot("stop.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        foreach (ITransformer transformer in new[] { pipeline, context.LongCat().Load(zip), context.Model.Load(zip, out _) })
        {
            Assert.Equal(["<z", "<zy"], context.Data.CreateEnumerable<Completed>(transformer.Transform(data), false, ignoreMissingColumns: true).Select(row => row.Completion));
        }
    }

    [Theory]
    [InlineData(0, -1f, -1f, "'New' is 0; expected 1 to")]
    [InlineData(-1, 101f, -1f, "'Heat' is 101; expected 0 to 100")]
    [InlineData(-1, float.PositiveInfinity, -1f, "; expected 0 to 100")]
    [InlineData(-1, -1f, 1.5f, "'Mass' is 1.5; expected")]
    [InlineData(-1, -1f, 0f, "'Mass' is 0; expected")]
    public void A_setting_out_of_range_fails_its_row_by_name_and_no_other(int newTokens, float temperature, float topP, string expected)
    {
        OptionRow[] rows = [new() { Text = "a", Heat = 0 }, new() { Text = "b", New = newTokens, Heat = temperature, Mass = topP }, new() { Text = "c", Heat = 0 }];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        RowFailedException failure = Assert.Throws<RowFailedException>(() => Read(Options(), data));
        Assert.Equal((1, "Text"), (failure.Row, failure.Column));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);

        GenerateOptions options = Options();
        options.FailingRows = FailingRow.Empty;
        Assert.Equal(["<a>", "", "<c>"], Read(options, data).Select(row => row.Completion));
    }

    [Theory]
    [InlineData("MaxNewTokens", "Heat", "expected Int32, found Single")]
    [InlineData("Temperature", "New", "expected Single, found Int32")]
    [InlineData("Seed", "New", "expected Int64, found Int32")]
    [InlineData("TopK", "Text", "expected Int32, found String")]
    [InlineData("TopP", "Stops", "expected Single, found a vector of String")]
    [InlineData("StopStrings", "New", "expected text (String) or a vector of text, found Int32")]
    [InlineData("StopStrings", "Nowhere", "'Nowhere'")]
    public void A_column_of_another_type_is_refused_when_the_step_is_fitted(string setting, string column, string expected)
    {
        GenerateOptions options = new() { ModelFolder = model.Folder };
        typeof(GenerateOptions).GetProperty(setting + "ColumnName")!.SetValue(options, column);
        IDataView data = context.Data.LoadFromEnumerable(new[] { new OptionRow() });
        Assert.Contains(expected, Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Generate(options).Fit(data)).Message, StringComparison.Ordinal);
        Assert.Contains(
            expected,
            Assert.Throws<ArgumentOutOfRangeException>(() => context.Transforms.CopyColumns("Copy", "Text").Append(context.LongCat().Generate(options)).Fit(data)).Message,
            StringComparison.Ordinal);
    }

    private GenerateOptions Options() => new()
    {
        ModelFolder = model.Folder,
        Temperature = 1.5f,
        TopK = 3,
        Seed = 5,
        MaxNewTokensColumnName = "New",
        TemperatureColumnName = "Heat",
        TopKColumnName = "Kept",
        TopPColumnName = "Mass",
        SeedColumnName = "Number",
        StopStringsColumnName = "Stops",
    };

    private Completed[] Read(GenerateOptions options, IDataView data) =>
        [.. context.Data.CreateEnumerable<Completed>(context.LongCat().Generate(options).Fit(data).Transform(data), false, ignoreMissingColumns: true)];

    private sealed class OptionRow
    {
        public string? Text { get; set; }

        public int New { get; set; } = -1;

        public float Heat { get; set; } = float.NaN;

        public int Kept { get; set; } = -1;

        public float Mass { get; set; } = float.NaN;

        public long Number { get; set; } = -1;

        public string[] Stops { get; set; } = [];

        public string? Stop { get; set; }
    }

    private sealed class Completed
    {
        public string Completion { get; set; } = "";

        public string FinishReason { get; set; } = "";

        public float[] LogProbabilities { get; set; } = [];
    }
}
