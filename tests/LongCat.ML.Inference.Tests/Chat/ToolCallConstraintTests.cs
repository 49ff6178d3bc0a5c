using System.Text;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Prompts;
using LongCat.ML.Inference.Chat.Replies;
using LongCat.ML.Inference.Constraints;
using LongCat.ML.Inference.Tests.Constraints;
using LongCat.ML.TestShared;
using Microsoft.Extensions.AI;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>Replies that must call a tool: whatever a model prefers, what it writes is read as calls whose arguments satisfy the schemas, in every form.</summary>
public sealed class ToolCallConstraintTests(ITestOutputHelper output)
{
    private static readonly string[] s_marks =
        ["<longcat_tool_call>", "</longcat_tool_call>", "<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>", "<tool_call>"];

    private static readonly (string Name, JsonElement Schema)[] s_tools =
    [
        ("weather", Json("""
            {"type": "object", "properties": {"city": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1, "maximum": 14}, "unit": {"type": "string", "enum": ["C", "F"]},
             "note": {"type": ["string", "null"], "pattern": "^[a-z]{0,4}$"}, "wind": {"type": "number", "minimum": 0, "exclusiveMaximum": 2.5}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
             "required": ["city", "days"]}
            """)),
        ("now", Json("""{"type": "object", "properties": {}, "additionalProperties": false}""")),
    ];

    private static readonly IReadOnlyDictionary<string, JsonElement> s_schemas = s_tools.ToDictionary(tool => tool.Name, tool => tool.Schema);

    [Theory]
    [InlineData("LongCat", false, false)]
    [InlineData("LongCat", true, false)]
    [InlineData("LongCat", true, true)]
    [InlineData("Qwen", false, true)]
    [InlineData("Mistral", false, false)]
    [InlineData("Mistral", false, true)]
    [InlineData("Llama", false, false)]
    public void Random_replies_are_calls(string form, bool pairs, bool several)
    {
        HuggingFaceTokenizer tokenizer = Tokenizer(marks: true);
        ReplyFormat format = new([], Enum.Parse<ToolCallFormats>(form)) { ArgumentPairs = pairs };
        OutputConstraint constraint = ToolCallConstraint.Create(tokenizer, format, s_tools, several);
        int calls = 0, most = 0;
        Dictionary<string, int> names = [];
        for (int seed = 0; seed < 60; seed++)
        {
            string text = Complete(constraint.Start, tokenizer, new Random(seed), out IReadOnlyList<int> ids);
            if (form is "LongCat" or "Qwen")
            {
                // The format's marks are its tokens, never spelled.
                Assert.Equal(tokenizer.TokenToId(form == "Qwen" ? "<tool_call>" : "<longcat_tool_call>"), ids[0]);
            }

            List<AIContent> contents = [];
            ReplyParser parser = new(format, s_schemas, openThought: null, plainAnswer: false);
            parser.Append(text, contents);
            parser.Flush(complete: true, contents);
            FunctionCallContent[] read = [.. contents.OfType<FunctionCallContent>()];
            Assert.True(read.Length == contents.Count && read.Length >= 1 && (several || read.Length == 1), $"seed {seed}: {text}");
            foreach (FunctionCallContent call in read)
            {
                JsonElement arguments = JsonSerializer.SerializeToElement(call.Arguments);
                Assert.True(SchemaValidator.Accepts(s_schemas[call.Name], s_schemas[call.Name], arguments), $"seed {seed}: {arguments.GetRawText()} in {text}");
                names[call.Name] = names.GetValueOrDefault(call.Name) + 1;
            }

            calls += read.Length;
            most = Math.Max(most, read.Length);
        }

        output.WriteLine($"{calls} calls, {most} at most in a reply; {string.Join(", ", names)}");
        Assert.Equal(2, names.Count);
        Assert.True(!several || most > 1);
    }

    [Fact]
    public void Any_text_is_an_argument_where_the_schema_says_no_more()
    {
        HuggingFaceTokenizer tokenizer = Tokenizer(marks: true);
        JsonElement schema = Json("""{"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}""");
        ConstraintState state = ToolCallConstraint.Create(tokenizer, new([], ToolCallFormats.LongCat) { ArgumentPairs = true }, [("find", schema)], several: false).Start;
        int close = tokenizer.TokenToId("</longcat_arg_value>")!.Value;
        foreach (int id in tokenizer.Encode("<longcat_tool_call>find\n<longcat_arg_key>q</longcat_arg_key>\n<longcat_arg_value>\"a\" < b, é\n{", addSpecialTokens: false))
        {
            Assert.True(state.Allows(id), tokenizer.Decode([id]));
            state = state.Advance(id);
        }

        // No mark but the one that closes the value, and no end.
        Assert.True(state.Allows(close) && !state.CanEnd);
        Assert.All(s_marks.Where(mark => mark != "</longcat_arg_value>"), mark => Assert.False(state.Allows(tokenizer.TokenToId(mark)!.Value), mark));
        foreach (int id in tokenizer.Encode("</longcat_arg_value>\n</longcat_tool_call>", addSpecialTokens: false))
        {
            Assert.True(state.Allows(id));
            state = state.Advance(id);
        }

        Assert.True(state.IsComplete);
    }

    [Theory]
    [InlineData(true, """{"type": "object", "properties": {"a": {"not": {}}}}""", "the tool 'f'", "'#/properties/a': the keyword 'not' is not supported")]
    [InlineData(false, """{"type": "object", "properties": {"a": {"type": "string", "pattern": "\\b"}}}""", "the tool 'f'", "'#/properties/a/pattern'")]
    [InlineData(false, """{"type": "array"}""", "the tool 'f'", "'#/type': expected \"object\"")]
    [InlineData(true, """{"type": "string"}""", "the tool 'f'", "'#/type': expected \"object\"")]
    [InlineData(true, """{"anyOf": [{"type": "object"}]}""", "the tool 'f'", "'anyOf' is not supported where calls are written as pairs")]
    [InlineData(true, """{"type": "object", "properties": {}, "required": ["x"]}""", "the tool 'f'", "'x' is required and not declared")]
    public void What_cannot_be_forced_is_named(bool pairs, string schema, string tool, string expected)
    {
        InferenceException error = Assert.Throws<InferenceException>(
            () => ToolCallConstraint.Create(Tokenizer(marks: true), new([], ToolCallFormats.LongCat) { ArgumentPairs = pairs }, [("f", Json(schema))], several: false));
        Assert.Contains(tool, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Marks_that_are_no_tokens_are_spelled()
    {
        HuggingFaceTokenizer tokenizer = Tokenizer(marks: false);
        ConstraintState state = ToolCallConstraint.Create(tokenizer, new([], ToolCallFormats.Qwen), [("now", s_tools[1].Schema)], several: false).Start;
        foreach (int id in tokenizer.Encode("<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", addSpecialTokens: false))
        {
            Assert.True(state.Allows(id));
            state = state.Advance(id);
        }

        Assert.True(state.IsComplete);
    }

    [Fact]
    public void A_mask_holds_just_the_marks_that_can_follow()
    {
        HuggingFaceTokenizer tokenizer = Tokenizer(marks: true);
        ConstraintState state = ToolCallConstraint.Create(tokenizer, new([], ToolCallFormats.LongCat) { ArgumentPairs = true }, s_tools, several: true).Start;
        Random random = new(3);
        for (int step = 0; step < 200 && !state.IsComplete; step++)
        {
            int[] allowed = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(id => state.Allows(id))];
            Assert.Equal(Enumerable.Range(0, tokenizer.VocabularySize).Where(id => state.Advance(id).IsPossible), allowed);
            state = state.Advance(allowed[random.Next(allowed.Length)]);
        }
    }

    private static JsonElement Json(string text) => JsonDocument.Parse(text).RootElement;

    /// <summary>A tokenizer of bytes, which has the marks of calls as added tokens or not.</summary>
    private static HuggingFaceTokenizer Tokenizer(bool marks)
    {
        using TemporaryFolder folder = new();
        string text = RandomCheckpoint.Tokenizer(ScriptedModel.Vocabulary).ToJsonString();
        for (int i = 0; marks && i < s_marks.Length; i++)
        {
            // As the file spells it: JsonObject escapes the brackets.
            text = text.Replace($"\\u003Clongcat_reserved_{9 + i}\\u003E", s_marks[i], StringComparison.Ordinal).Replace($"<longcat_reserved_{9 + i}>", s_marks[i], StringComparison.Ordinal);
        }

        File.WriteAllText(folder["tokenizer.json"], text);
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder["tokenizer.json"]);
        Assert.All(s_marks, mark => Assert.Equal(marks, tokenizer.TokenToId(mark) is not null));
        return tokenizer;
    }

    /// <summary>A random text that the constraint allows; every other token is one that closes something.</summary>
    private static string Complete(ConstraintState state, HuggingFaceTokenizer tokenizer, Random random, out IReadOnlyList<int> ids)
    {
        List<int> chosen = [];
        while (!state.IsComplete && !(state.CanEnd && random.Next(3) == 0))
        {
            int[] allowed = [.. Enumerable.Range(0, tokenizer.VocabularySize).Where(id => state.Allows(id))];
            int[] closing = [.. allowed.Where(id => tokenizer.IsAdded(id) || tokenizer.TokenBytes(id)[^1] is (byte)'"' or (byte)'}' or (byte)']')];
            int[] from = closing.Length > 0 && random.Next(2) == 0 ? closing : allowed;
            chosen.Add(from[random.Next(from.Length)]);
            state = state.Advance(chosen[^1]);
            Assert.True(chosen.Count < 3000, "the reply does not end");
        }

        ids = chosen;
        return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString([.. chosen.SelectMany(id => tokenizer.TokenBytes(id).ToArray())]);
    }
}
