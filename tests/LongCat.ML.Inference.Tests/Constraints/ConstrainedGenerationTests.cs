using System.Text.Json;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Tests.Chat;
using LongCat.ML.TestShared;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary>The engine and the chat client hold completions to their constraints.</summary>
public sealed class ConstrainedGenerationTests
{
    private const string Schema = """{"type": "object", "properties": {"city": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1, "maximum": 20}}, "required": ["city", "days"]}""";

    [Theory]
    [InlineData(0f, 1f, 0)]
    [InlineData(1f, 1f, 0)]
    [InlineData(2f, 0.7f, 0)]
    [InlineData(1.5f, 1f, 5)]
    public async Task A_model_that_wants_something_else_writes_what_it_must(float temperature, float topP, int topK)
    {
        ScriptedModel model = new(512, 8) { Flat = true };
        await using InferenceEngine engine = model.Engine();
        OutputConstraint constraint = OutputConstraint.JsonSchema(JsonDocument.Parse(Schema).RootElement, model.Tokenizer);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 12).Select(seed => new GenerationRequest
        {
            Prompt = "x",
            Options = new GenerationOptions { MaxNewTokens = 400, Constraint = constraint, Temperature = temperature, TopP = topP, TopK = topK, Seed = (ulong)seed, LogProbabilities = -1 },
        })];
        foreach (GenerationResult result in await Task.WhenAll(requests.Select(request => engine.GenerateAsync(request))))
        {
            Assert.Equal(FinishReason.Stop, result.FinishReason);
            using JsonDocument document = JsonDocument.Parse(result.Text);
            Assert.InRange(document.RootElement.GetProperty("days").GetInt32(), 1, 20);
            Assert.Equal(result.Ids.Count, result.LogProbabilities!.Count);
            Assert.All(result.LogProbabilities, probability => Assert.True(double.IsFinite(probability.LogProbability)));
        }
    }

    [Fact]
    public async Task A_limit_cuts_and_a_stop_token_ends_only_where_the_text_may()
    {
        ScriptedModel model = new(512, 8) { Reply = _ => "" };
        await using InferenceEngine engine = model.Engine();
        OutputConstraint constraint = OutputConstraint.JsonSchema(JsonDocument.Parse("""{"type": "integer"}""").RootElement, model.Tokenizer);

        // The model wants to end at once, and may after the first digit.
        GenerationResult number = await engine.GenerateAsync(new GenerationRequest { PromptIds = [ScriptedModel.Turn], Options = new GenerationOptions { Constraint = constraint } });
        Assert.Matches("^-?[0-9]+$", number.Text);
        Assert.Equal(FinishReason.Stop, number.FinishReason);
        GenerationResult cut = await engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = [ScriptedModel.Turn],
            Options = new GenerationOptions { Constraint = OutputConstraint.Json(model.Tokenizer), MaxNewTokens = 1 },
        });
        Assert.Equal(("{", FinishReason.Length), (cut.Text, cut.FinishReason));
    }

    [Fact]
    public async Task Speculation_changes_nothing()
    {
        // Repetitions give prompt lookup something to propose, inside the schema and outside of it.
        ScriptedModel model = new(512, 8) { Reply = _ => "[" + string.Concat(Enumerable.Repeat("{\"a\": \"bcd\"}, ", 8)) + "{\"a\": \"bcd\"}]" };
        OutputConstraint constraint = OutputConstraint.JsonSchema(JsonDocument.Parse("""{"type": "array", "items": {"properties": {"a": {"type": "string"}}}, "maxItems": 6}""").RootElement, model.Tokenizer);
        GenerationRequest request = new() { PromptIds = [ScriptedModel.Turn], Options = new GenerationOptions { Constraint = constraint, MaxNewTokens = 300 } };
        SpeculativeOptions lookup = new() { NGramSize = 3 };
        SpeculativeCounters counters = new();
        await using InferenceEngine plain = model.Engine();
        await using InferenceEngine speculating = model.Engine(speculator: new Speculator(new PromptLookupProposer(lookup, counters), lookup, counters));

        GenerationResult expected = await plain.GenerateAsync(request), found = await speculating.GenerateAsync(request);

        Assert.Equal(expected.Ids, found.Ids);
        Assert.Equal(expected.FinishReason, found.FinishReason);
        Assert.True(speculating.Statistics.Steps < plain.Statistics.Steps, $"{speculating.Statistics.Steps} steps, {plain.Statistics.Steps} without drafts");
        using JsonDocument document = JsonDocument.Parse(found.Text);
        Assert.Equal(6, document.RootElement.GetArrayLength());
    }

    [Fact]
    public async Task A_constraint_of_another_tokenizer_is_refused()
    {
        await using InferenceEngine engine = new ScriptedModel(16, 8).Engine();
        OutputConstraint other = OutputConstraint.Json(new ScriptedModel(16, 8).Tokenizer);
        InferenceException error = await Assert.ThrowsAsync<InferenceException>(
            () => engine.GenerateAsync(new GenerationRequest { Prompt = "x", Options = new GenerationOptions { Constraint = other } }));
        Assert.Contains("another tokenizer", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Chats_answer_in_JSON_with_and_without_thoughts()
    {
        ScriptedModel model = new(1024, 8) { Reply = _ => "Let <longcat_tool_call> me {think}.\n</longcat_think>\n{\"city\": \"<think>\", \"days\": 7}", BegunTokens = 2 };
        using LongCatChatClient client = new(model.Engine(), ChatTemplates.LongCat, ownsEngine: true);
        ChatOptions options = new() { ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonDocument.Parse(Schema).RootElement), Reasoning = new() { Effort = ReasoningEffort.High } };

        ChatResponse thought = await client.GetResponseAsync("Q", options);

        // "<think>" is seven characters and six are allowed: the model is made to close the string.
        Assert.Equal("Let <longcat_tool_call> me {think}.", thought.Messages[0].Contents.OfType<TextReasoningContent>().Single().Text);
        using JsonDocument first = JsonDocument.Parse(thought.Text);
        Assert.Equal("<think", first.RootElement.GetProperty("city").GetString());

        (model.Flat, options.Temperature, options.Seed, options.Reasoning) = (true, 1, 11, null);
        using JsonDocument second = JsonDocument.Parse((await client.GetResponseAsync("Q", options)).Text);
        Assert.InRange(second.RootElement.GetProperty("days").GetInt32(), 1, 20);

        options.ResponseFormat = ChatResponseFormat.ForJsonSchema(JsonDocument.Parse("""{"type": "string", "contentEncoding": "x"}""").RootElement);
        Assert.Contains("'contentEncoding'", (await Assert.ThrowsAsync<InferenceException>(() => client.GetResponseAsync("Q", options))).Message, StringComparison.Ordinal);
        options.ResponseFormat = ChatResponseFormat.Json;
        options.Tools = [AIFunctionFactory.Create(() => 1, "f")];
        Assert.Contains("one of the two", (await Assert.ThrowsAsync<NotSupportedException>(() => client.GetResponseAsync("Q", options))).Message, StringComparison.Ordinal);
    }
}
