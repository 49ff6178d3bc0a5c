using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

public sealed class ExampleFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ExampleEncoder _encoder;

    public ExampleFileTests()
    {
        RandomCheckpoint.Write(_folder["model"], new RandomCheckpointOptions { Tokenizer = true });
        File.WriteAllText(Path.Combine(_folder["model"], "chat_template.jinja"), "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}");
        _encoder = ExampleEncoder.Load(_folder["model"]);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_form_of_row_is_read_with_its_line()
    {
        var texts = Read("{\"t\": \"ab\"}\n\n{\"t\": \"c\", \"other\": 1}\n", new ExampleColumns { Text = "t" });
        Assert.Equal([1, 3], texts.Examples.Select(e => e.Source));
        Assert.Equal([3, 2], texts.Examples.Select(e => e.TrainableTokens));
        Assert.Equal(4, Assert.Single(Read("{\"p\": \"ab\", \"c\": \"xyz\"}", new ExampleColumns { Prompt = "p", Completion = "c" }).Examples).TrainableTokens);
        Assert.Equal(3, Assert.Single(Read("{\"m\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}", new ExampleColumns { Chat = "m" }).Examples).TrainableTokens);
        foreach (string label in new[] { "\"42\"", "42" })
        {
            Assert.Equal(4, Assert.Single(Read($"{{\"t\": \"a\", \"l\": {label}}}", new ExampleColumns { Text = "t", Label = "l" }).Examples).TrainableTokens);
        }
    }

    [Theory]
    [InlineData("{\"t\": \"a\"}\nnot json", "line 2: the line is no JSON")]
    [InlineData("[1]", "line 1: the line is a JSON array, expected an object")]
    [InlineData("{\"x\": \"a\", \"y\": 1}", "line 1: there is no field 't'; its fields are: 'x', 'y'")]
    [InlineData("{\"t\": 3}", "line 1: the field 't' is a JSON number, expected a string")]
    [InlineData("{\"t\": null}", "line 1: the field 't' is a JSON null, expected a string")]
    [InlineData("{\"t\": \"\\ud800\"}", "line 1: ")]
    public void A_bad_row_is_named_or_counted(string lines, string expected)
    {
        var columns = new ExampleColumns { Text = "t" };
        var e = Assert.Throws<FineTuningException>(() => Read(lines, columns));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        Assert.Contains("rows.jsonl", e.Message, StringComparison.Ordinal);
        var rest = Read(lines, columns, BadRows.Skip);
        Assert.Equal(1, rest.Unreadable);
        Assert.Equal(e.Message, rest.FirstProblem);
        Assert.Equal(lines.Split('\n').Length - 1, rest.Examples.Count);
    }

    [Theory]
    [InlineData("{\"m\": \"a\"}", "the field 'm' is a JSON string, expected an array of messages")]
    [InlineData("{\"m\": [{\"role\": \"user\"}]}", "message 1 of 'm' is {\"role\": \"user\"}, expected an object with \"role\"")]
    [InlineData("{\"m\": [{\"role\": \"user\", \"content\": \"a\"}, 3]}", "message 2 of 'm' is 3")]
    public void A_bad_chat_is_named(string line, string expected) =>
        Assert.Contains(expected, Assert.Throws<FineTuningException>(() => Read(line, new ExampleColumns { Chat = "m" })).Message, StringComparison.Ordinal);

    [Fact]
    public void Bytes_that_are_no_UTF8_are_a_bad_row()
    {
        File.WriteAllBytes(_folder["rows.jsonl"], [.. "{\"t\": \""u8, 0xff, .. "\"}\n{\"t\": \"a\"}"u8]);
        var e = Assert.Throws<FineTuningException>(() => ExampleFile.Read(_folder["rows.jsonl"], new ExampleColumns { Text = "t" }, _encoder));
        Assert.Contains("line 1: the line is not valid UTF-8", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_label_of_another_type_and_a_missing_file_are_named()
    {
        var e = Assert.Throws<FineTuningException>(() => Read("{\"t\": \"a\", \"l\": 1.5}", new ExampleColumns { Text = "t", Label = "l" }));
        Assert.Contains("the field 'l' is a JSON number, expected a label", e.Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<FineTuningException>(() => ExampleFile.Read(_folder["absent"], new ExampleColumns { Text = "t" }, _encoder)).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<FineTuningException>(() => ExampleFile.Read(_folder["model"], new ExampleColumns { Text = "t" }, _encoder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Columns_of_two_forms_or_none_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new ExampleColumns().Validate());
        Assert.Throws<ArgumentException>(() => new ExampleColumns { Prompt = "p" }.Validate());
        Assert.Throws<ArgumentException>(() => new ExampleColumns { Text = "t", Chat = "c" }.Validate());
        Assert.Throws<ArgumentException>(() => new ExampleColumns { Label = "l" }.Validate());
        Assert.Throws<ArgumentException>(() => new ExampleColumns { Text = "t", PromptTemplate = "{text}" }.Validate());
        Assert.Throws<ArgumentException>(() => new ExampleColumns { Text = "t", Label = "l", PromptTemplate = "no" }.Validate());
    }

    [Fact]
    public void A_set_divides_by_rows_and_by_seed()
    {
        // Two examples per row, as chats can give.
        var set = new ExampleSet([.. TinyExamples.Make(40).SelectMany(e => new[] { e, e })]);
        var (train, held) = set.Divide(0.25, 1);
        Assert.Equal(20, held.Examples.Count);
        Assert.Equal(60, train.Examples.Count);
        Assert.Empty(train.Examples.Select(e => e.Source).Intersect(held.Examples.Select(e => e.Source)));
        Assert.Equal(held.Examples, set.Divide(0.25, 1).Validation.Examples);
        Assert.NotEqual(held.Examples, set.Divide(0.25, 2).Validation.Examples);
        Assert.Throws<FineTuningException>(() => new ExampleSet(TinyExamples.Make(1)).Divide(0.5, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => set.Divide(1, 1));
    }

    private ExampleSet Read(string lines, ExampleColumns columns, BadRows badRows = BadRows.Fail)
    {
        File.WriteAllText(_folder["rows.jsonl"], lines);
        return ExampleFile.Read(_folder["rows.jsonl"], columns, _encoder, badRows);
    }
}
