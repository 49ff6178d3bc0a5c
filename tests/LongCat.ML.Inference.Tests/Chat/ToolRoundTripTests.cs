using LongCat.ML.Inference.Chat;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>A client that runs called functions, over the engine's client: the model calls, the function runs, the model reads its result and answers.</summary>
public sealed class ToolRoundTripTests
{
    private const string Declared = "<longcat_tool_declare>weather {";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Calls_are_run_one_after_another_until_the_model_answers(bool streaming)
    {
        ScriptedModel model = new(1024, 8)
        {
            Reply = prompt => !prompt.Contains("weather: ", StringComparison.Ordinal) ? "<longcat_think>\nBern first.\n</longcat_think>\n" + Call("Bern", 2)
                : !prompt.Contains("weather: Chur", StringComparison.Ordinal) ? Call("Chur", 3)
                : "Sunny in both.",
        };
        List<(string, int)> asked = [];
        using InvokingChatClient client = Client(model);
        ChatOptions options = new() { Tools = [Weather((city, days) => asked.Add((city, days)))] };

        ChatResponse response = streaming
            ? await client.GetStreamingResponseAsync("Weather?", options).ToChatResponseAsync()
            : await client.GetResponseAsync("Weather?", options);

        Assert.Equal([("Bern", 2), ("Chur", 3)], asked);
        Assert.Equal([ChatRole.Assistant, ChatRole.Tool, ChatRole.Assistant, ChatRole.Tool, ChatRole.Assistant], response.Messages.Select(message => message.Role));
        Assert.Equal("Sunny in both.", response.Messages[^1].Text);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Equal(2, response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>().Select(call => call.CallId).Distinct().Count());

        // Every request reads the calls and results so far, under the names of their functions.
        Assert.Equal(3, model.Prompts.Count);
        Assert.All(model.Prompts, prompt => Assert.StartsWith(Declared, prompt, StringComparison.Ordinal));
        Assert.EndsWith(
            """<longcat_tool_call>weather {"city": "Chur", "days": 3}</longcat_tool_call></longcat_s><longcat_tool_response>weather: Chur sunny</longcat_tool_response><longcat_assistant>""",
            model.Prompts[2], StringComparison.Ordinal);
        Assert.Equal(model.Prompts.Sum(prompt => model.Tokenizer.Encode(prompt, addSpecialTokens: false).Count), response.Usage!.InputTokenCount);
    }

    [Fact]
    public async Task Calls_of_one_reply_are_answered_together_and_a_failing_one_says_so()
    {
        ScriptedModel model = new(1024, 8)
        {
            Reply = prompt => prompt.Contains("weather: ", StringComparison.Ordinal) ? "Half known." : Call("Bern", 2) + Call("Nowhere", 2),
        };
        using InvokingChatClient client = Client(model);
        ChatOptions options = new() { Tools = [Weather((city, _) => ArgumentOutOfRangeException.ThrowIfEqual(city, "Nowhere"))] };

        ChatResponse response = await client.GetResponseAsync("Weather?", options);

        Assert.Equal("Half known.", response.Messages[^1].Text);
        Assert.Equal(2, model.Prompts.Count);
        int bern = model.Prompts[1].IndexOf("<longcat_tool_response>weather: Bern sunny<", StringComparison.Ordinal), failed = model.Prompts[1].IndexOf("<longcat_tool_response>weather: Error", StringComparison.Ordinal);
        Assert.True(bern > 0 && failed > bern, model.Prompts[1]);
    }

    [Fact]
    public async Task A_required_call_comes_once_and_then_the_model_is_free()
    {
        // It would write anything but a call: only the constraint makes it call, and only in the first request.
        ScriptedModel model = new(1024, 8) { Flat = true, Reply = _ => "Warm." };
        List<bool> asked = [];
        AIFunction weather = AIFunctionFactory.Create(
            (bool celsius) =>
            {
                asked.Add(celsius);
                model.Flat = false;
                return celsius ? "20" : "68";
            },
            "weather");
        using InvokingChatClient client = Client(model);
        ChatOptions options = new() { Tools = [weather], ToolMode = ChatToolMode.RequireAny, AllowMultipleToolCalls = false, Temperature = 1, Seed = 3, MaxOutputTokens = 3000 };

        ChatResponse response = await client.GetResponseAsync("Weather?", options);

        Assert.Equal("Warm.", response.Messages[^1].Text);
        Assert.Equal(2, model.Prompts.Count);
        Assert.Contains($"<longcat_tool_response>weather: {(Assert.Single(asked) ? "20" : "68")}<", model.Prompts[1], StringComparison.Ordinal);
    }

    private static AIFunction Weather(Action<string, int> asked) => AIFunctionFactory.Create(
        (string city, int days) =>
        {
            asked(city, days);
            return $"{city} sunny";
        },
        "weather");

    private static string Call(string city, int days) => $$$"""<longcat_tool_call>{"name": "weather", "arguments": {"city": "{{{city}}}", "days": {{{days}}} } }</longcat_tool_call>""";

    private static InvokingChatClient Client(ScriptedModel model) => new(new LongCatChatClient(model.Engine(), ChatTemplates.LongCat, ownsEngine: true));
}
