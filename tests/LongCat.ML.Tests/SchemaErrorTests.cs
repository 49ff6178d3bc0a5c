using LongCat.ML.Checkpoints;
using LongCat.ML.Tests.Fakes;
using Microsoft.ML;

namespace LongCat.ML.Tests;

public sealed class SchemaErrorTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [Fact]
    public void A_missing_column_is_named_at_fit_time_with_those_that_are_there()
    {
        string message = Refused(context.LongCat().Generate(model.Folder, inputColumnName: "Prompt"));
        Assert.Contains("'Prompt'", message, StringComparison.Ordinal);
        Assert.Contains("'Continuation'", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Id", "Int32")]
    [InlineData("Features", "Single")]
    public void A_column_of_the_wrong_type_is_named_with_what_it_is_and_what_was_expected(string column, string found)
    {
        string message = Refused(context.LongCat().Score(model.Folder, inputColumnName: column));
        Assert.Contains($"'{column}'", message, StringComparison.Ordinal);
        Assert.Contains(found, message, StringComparison.Ordinal);
        Assert.Contains("expected text", message, StringComparison.Ordinal);
        Assert.Contains("Score", message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_continuation_column_is_checked_too() =>
        Assert.Contains("'Id'", Refused(context.LongCat().Score(model.Folder, continuationColumnName: "Id")), StringComparison.Ordinal);

    [Fact]
    public void A_folder_without_a_model_is_refused_before_anything_is_fitted()
    {
        CheckpointException exception = Assert.Throws<CheckpointException>(() => context.LongCat().Generate(model.Root));
        Assert.Contains("longcat.json", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_out_of_range_are_named()
    {
        Assert.Contains("MaxNewTokens", Refused(new GenerateOptions { MaxNewTokens = 0 }), StringComparison.Ordinal);
        Assert.Contains("Temperature", Refused(new GenerateOptions { Temperature = -1 }), StringComparison.Ordinal);
        Assert.Contains("Temperature", Refused(new GenerateOptions { Temperature = float.NaN }), StringComparison.Ordinal);
        Assert.Contains("TopP", Refused(new GenerateOptions { TopP = 0 }), StringComparison.Ordinal);
        Assert.Contains("MaxRowsInFlight", Refused(new GenerateOptions { MaxRowsInFlight = 0 }), StringComparison.Ordinal);
        Assert.Contains("StopStrings", Refused(new GenerateOptions { StopStrings = [""] }), StringComparison.Ordinal);
        Assert.Contains("twice", Refused(new GenerateOptions { FinishReasonColumnName = "Completion" }), StringComparison.Ordinal);
        Assert.Contains("LongCat.Score", Refused(new GenerateOptions { OutputColumnName = "LongCat.Score" }), StringComparison.Ordinal);
        Assert.Contains("'a'", Assert.Throws<ArgumentException>(() => context.LongCat().Classify(model.Folder, ["a", "a"])).Message, StringComparison.Ordinal);
        Assert.Contains("{text}", Assert.Throws<ArgumentException>(() => context.LongCat().Classify(model.Folder, ["a", "b"], "no place")).Message, StringComparison.Ordinal);
    }

    private string Refused(GenerateOptions options)
    {
        options.ModelFolder = model.Folder;
        return Assert.ThrowsAny<ArgumentException>(() => context.LongCat().Generate(options)).Message;
    }

    /// <summary>Refused by Fit alone, and by the shape propagation of a chain.</summary>
    private string Refused(TextEstimator estimator)
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(1));
        string message = Assert.Throws<ArgumentOutOfRangeException>(() => estimator.Fit(data)).Message;
        Assert.Equal(message, Assert.Throws<ArgumentOutOfRangeException>(() => context.Transforms.CopyColumns("Copy", "Id").Append(estimator).Fit(data)).Message.Replace("'Copy', ", "", StringComparison.Ordinal).Replace(", 'Copy'", "", StringComparison.Ordinal));
        return message;
    }
}
