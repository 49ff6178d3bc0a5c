using LongCat.ML.Checkpoints;
using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>Columns of chats, over the fake engine: what reaches it and what is refused. RealModelTests renders a template.</summary>
public sealed class ChatTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [Fact]
    public void Chats_and_settings_of_rows_reach_the_engine_in_memory_and_however_they_are_loaded()
    {
        model.AddChatTemplate();
        ChatRow[] rows =
        [
            new() { Roles = ["system", "user"], Contents = ["s", "hello"] },
            new() { Roles = ["user"], Contents = ["\"ü\""], New = 2 },
            new(),
        ];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        GenerateOptions options = Options();
        options.MaxNewTokensColumnName = "New";
        options.ChatVariables = new Dictionary<string, System.Text.Json.JsonElement> { ["on"] = System.Text.Json.JsonSerializer.SerializeToElement(true) };
        ITransformer pipeline = context.LongCat().Generate(options).Fit(data);
        string zip = model.FileInRoot("chat.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        var fresh = new MLContext();
        foreach (ITransformer transformer in new[] { pipeline, fresh.LongCat().Load(zip), fresh.Model.Load(zip, out _) })
        {
            IDataView view = transformer.Transform(data);
            CompletionRow[] completed = [.. context.Data.CreateEnumerable<CompletionRow>(view, false, ignoreMissingColumns: true)];
            Assert.Equal(["<eurT=no|olleh:resu|s:metsys>", "<eurT=no|\"ü\":resu>", ""], completed.Select(row => row.Completion));
            Assert.Equal(["stop", "length", "empty"], completed.Select(row => row.FinishReason));
            Assert.DoesNotContain(view.Schema, column => !column.IsHidden && column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
            using PredictionEngine<ChatRow, CompletionRow> engine = context.Model.CreatePredictionEngine<ChatRow, CompletionRow>(transformer);
            Assert.Equal(completed[0].Completion, engine.Predict(rows[0]).Completion);
        }
    }

    [Fact]
    public void A_chat_without_a_content_for_each_role_fails_by_name()
    {
        model.AddChatTemplate();
        IDataView data = context.Data.LoadFromEnumerable(new[] { new ChatRow { Roles = ["user", "user"], Contents = ["one"] } });
        RowFailedException failure = Assert.Throws<RowFailedException>(
            () => context.Data.CreateEnumerable<CompletionRow>(context.LongCat().Generate(Options()).Fit(data).Transform(data), false, ignoreMissingColumns: true).ToArray());
        Assert.Equal((0, "Contents"), (failure.Row, failure.Column));
        Assert.Contains("2 roles and 1 contents", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_a_template_is_refused_with_the_files_looked_for()
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => context.LongCat().Generate(Options()));
        Assert.Contains(Path.Combine(model.Folder, "chat_template.jinja"), error.Message, StringComparison.Ordinal);
        Assert.Contains(Path.Combine(model.Folder, "tokenizer_config.json"), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Columns_of_another_type_and_half_a_chat_are_refused()
    {
        model.AddChatTemplate();
        IDataView data = context.Data.LoadFromEnumerable(new[] { new ChatRow() });
        GenerateOptions options = Options();
        options.ContentsColumnName = "New";
        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Generate(options).Fit(data));
        Assert.Contains("'New': expected a vector of text (String), found Int32", error.Message, StringComparison.Ordinal);
        options.ContentsColumnName = null;
        Assert.Contains("RolesColumnName is 'Roles' and ContentsColumnName is ''", Assert.Throws<ArgumentException>(() => context.LongCat().Generate(options)).Message, StringComparison.Ordinal);
    }

    private GenerateOptions Options() => new() { ModelFolder = model.Folder, RolesColumnName = "Roles", ContentsColumnName = "Contents" };

    private sealed class ChatRow
    {
        public string[] Roles { get; set; } = [];

        public string[] Contents { get; set; } = [];

        public int New { get; set; } = -1;
    }
}
