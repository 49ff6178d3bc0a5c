using System.Text.Json;
using LongCat.ML.Inference.Chat.Replies;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>What a model writes, split into answer, thoughts and calls: the same whatever pieces it comes in.</summary>
public sealed class ReplyParserTests
{
    private static readonly (string, string)[] s_thinking = [("<longcat_think>", "</longcat_think>"), ("<think>", "</think>")];

    private static readonly IReadOnlyDictionary<string, JsonElement> s_tools = new Dictionary<string, JsonElement>
    {
        ["weather"] = JsonSerializer.SerializeToElement(new
        {
            type = "object",
            properties = new
            {
                city = new { type = "string" },
                days = new { type = "integer" },
                note = new { type = new[] { "string", "null" } },
                tags = new { type = "array" },
                metric = new { type = "boolean" },
            },
        }),
    };

    private static readonly JsonSerializerOptions s_plain = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static TheoryData<string, string, string> Replies => new()
    {
        { "All", "Plain text, a < b and <th.", "T:Plain text, a < b and <th." },
        { "All", "<longcat_think>\nHm.\nSo.\n</longcat_think>\nYes.", "R:Hm.\nSo.|T:Yes." },
        { "All", "\n<longcat_think>\nHm.\n</longcat_think>\nYes.", "R:Hm.|T:Yes." },
        { "All", "<think>\nHm.\n</think>\n\nYes.\n\nNo.\n", "R:Hm.|T:Yes.\n\nNo.\n" },
        { "All", "<think>never closed\n", "R:never closed" },
        { "All", "<think></think>Yes", "T:Yes" },
        { "All", "<longcat_tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\", \"days\": 2}}\n</longcat_tool_call>", """C:weather{"city":"Bern","days":2}""" },
        { "All", "I look.\n<longcat_tool_call>{\"name\": \"weather\", \"parameters\": {}}</longcat_tool_call><longcat_tool_call>{\"name\": \"weather\"}</longcat_tool_call>", "T:I look.|C:weather{}|C:weather{}" },
        {
            "All",
            "<longcat_tool_call>weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>123</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>3</longcat_arg_value>\n"
            + "<longcat_arg_key>tags</longcat_arg_key>\n<longcat_arg_value>[\"a\", {\"b\": 1}]</longcat_arg_value>\n<longcat_arg_key>metric</longcat_arg_key>\n<longcat_arg_value>True</longcat_arg_value>\n"
            + "<longcat_arg_key>note</longcat_arg_key>\n<longcat_arg_value>null</longcat_arg_value>\n<longcat_arg_key>new</longcat_arg_key>\n<longcat_arg_value>no JSON: {</longcat_arg_value>\n</longcat_tool_call>\n",
            """C:weather{"city":"123","days":3,"tags":["a",{"b":1}],"metric":true,"note":null,"new":"no JSON: {"}"""
        },
        { "All", "<longcat_tool_call>weather\n</longcat_tool_call>\n", "C:weather{}" },
        { "All", "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"</tool_call>\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}\n</tool_call>", """C:weather{"city":"</tool_call>"}|C:f{"a":1}""" },
        { "All", "<think>\nI need it.\n</think>\n\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>", "R:I need it.|C:weather{}" },
        { "All", "<tool_call>\n{\"name\": oops}\n</tool_call>\nSorry.", "T:<tool_call>\n{\"name\": oops}\n</tool_call>\nSorry." },
        { "All", "<tool_call>{\"name\": \"weather\", \"arguments\": {}}", "C:weather{}" },
        { "All", "<tool_call>{\"name\": \"weather\", \"arg", "T:<tool_call>{\"name\": \"weather\", \"arg" },
        { "All", "[TOOL_CALLS] [{\"name\": \"weather\", \"arguments\": {\"city\": \"a\"}, \"id\": \"abcdefghi\"}, {\"name\": \"g\", \"arguments\": {}}]", """C:weather{"city":"a"}|C:g{}""" },
        { "All", "[TOOL_CALLS]weather[ARGS]{\"city\": \"a\"}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{}", """C:weather{"city":"a"}|C:g{}""" },
        { "All", "[TOOL_CALLS]nonsense", "T:[TOOL_CALLS]nonsense" },
        { "Llama", "{\"name\": \"weather\", \"parameters\": {\"city\": \"a\"}}; {\"name\": \"g\", \"parameters\": {}}", """C:weather{"city":"a"}|C:g{}""" },
        { "Llama", "<|python_tag|>{\"name\": \"weather\", \"parameters\": {\"city\": \"a\"}}", """C:weather{"city":"a"}""" },
        { "Llama", "\n{\"no\": \"call\"}", "T:\n{\"no\": \"call\"}" },
        { "Llama", "Text {\"name\": \"weather\", \"parameters\": {}}", "T:Text {\"name\": \"weather\", \"parameters\": {}}" },
        { "None", "<tool_call>{\"name\": \"weather\"}</tool_call>", "T:<tool_call>{\"name\": \"weather\"}</tool_call>" },
        { "Open", "Hm.\n</think>\nYes.", "R:Hm.|T:Yes." },
        { "Plain", "{\"a\": \"<think><tool_call>\"}", "T:{\"a\": \"<think><tool_call>\"}" },
    };

    [Theory]
    [MemberData(nameof(Replies))]
    public void A_reply_reads_the_same_in_any_pieces(string kind, string reply, string expected)
    {
        Assert.Equal(expected, Parse(kind, [reply]));
        Assert.Equal(expected, Parse(kind, reply.Select(character => character.ToString())));
        Random random = new(7);
        for (int round = 0; round < 20; round++)
        {
            List<string> pieces = [];
            for (int i = 0; i < reply.Length;)
            {
                int length = Math.Min(random.Next(1, 9), reply.Length - i);
                pieces.Add(reply.Substring(i, length));
                i += length;
            }

            Assert.Equal(expected, Parse(kind, pieces));
        }
    }

    [Fact]
    public void A_call_that_a_limit_cut_off_is_text()
    {
        // The JSON happens to be whole, and the model did not say that it is.
        Assert.Equal("""T:<tool_call>{"name": "weather"}""", Parse("All", ["""<tool_call>{"name": "weather"}"""], complete: false));
    }

    [Fact]
    public void Text_comes_as_soon_as_it_is_certain()
    {
        ReplyParser parser = new(new ReplyFormat(s_thinking, ToolCallFormats.Qwen), s_tools, openThought: null, plainAnswer: false);
        List<AIContent> contents = [];
        parser.Append("Hello <too", contents);
        Assert.Equal("Hello ", Assert.IsType<TextContent>(Assert.Single(contents)).Text);
        contents.Clear();
        parser.Append("l", contents);
        Assert.Empty(contents);
        parser.Append("s", contents);
        Assert.Equal("<tools", Assert.IsType<TextContent>(Assert.Single(contents)).Text);
    }

    [Fact]
    public void Calls_have_ids_of_nine_letters_and_digits_unless_the_model_gives_them()
    {
        List<FunctionCallContent> calls = new ToolCallReader(s_tools).ReadValues("""[{"name": "a"}, {"name": "b", "id": "call_7"}]""")!;
        Assert.Matches("^[a-z0-9]{9}$", calls[0].CallId);
        Assert.Equal("call_7", calls[1].CallId);
    }

    private static string Parse(string kind, IEnumerable<string> pieces, bool complete = true)
    {
        ToolCallFormats formats = kind switch
        {
            "All" => ToolCallFormats.LongCat | ToolCallFormats.Qwen | ToolCallFormats.Mistral,
            _ => ToolCallFormats.Llama,
        };
        ReplyParser parser = new(
            new ReplyFormat(s_thinking, formats), kind == "None" ? new Dictionary<string, JsonElement>() : s_tools, kind == "Open" ? "</think>" : null, kind == "Plain");
        List<AIContent> contents = [];
        foreach (string piece in pieces)
        {
            parser.Append(piece, contents);
        }

        parser.Flush(complete, contents);
        List<string> parts = [];
        AIContent? last = null;
        foreach (AIContent content in contents)
        {
            if (content is FunctionCallContent call)
            {
                parts.Add($"C:{call.Name}{JsonSerializer.Serialize(call.Arguments, s_plain)}");
            }
            else
            {
                string text = content is TextContent plain ? plain.Text : ((TextReasoningContent)content).Text;
                string mark = content is TextContent ? "T:" : "R:";
                if (last?.GetType() == content.GetType())
                {
                    parts[^1] += text;
                }
                else
                {
                    parts.Add(mark + text);
                }
            }

            last = content;
        }

        return string.Join('|', parts);
    }
}
