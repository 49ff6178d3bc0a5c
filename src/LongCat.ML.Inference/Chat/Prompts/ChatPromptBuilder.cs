using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Replies;
using Microsoft.Extensions.AI;
using AIMessage = Microsoft.Extensions.AI.ChatMessage;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>Makes a request of a chat and its options. What the engine cannot do is refused by name, never dropped in silence. Thread-safe.</summary>
internal sealed class ChatPromptBuilder(InferenceEngine engine, HuggingFaceTokenizer tokenizer, ChatTemplate template, LongCatChatClientOptions defaults, string modelId)
{
    private readonly ConstraintCache _constraints = new(tokenizer);

    public ReplyFormat Format { get; } = ReplyFormat.Of(template, tokenizer);

    public ChatPrompt Build(IEnumerable<AIMessage> messages, ChatOptions? options, IChatClient client)
    {
        options ??= new ChatOptions();
        ChatProperties properties = ChatProperties.Read(options.AdditionalProperties);
        Refuse(options);
        Dictionary<string, JsonElement> schemas = new(StringComparer.Ordinal);
        List<JsonElement> tools = [];
        if (options.ToolMode is not NoneChatToolMode)
        {
            foreach (AITool tool in options.Tools ?? [])
            {
                AIFunctionDeclaration function = tool as AIFunctionDeclaration
                    ?? throw new NotSupportedException($"ChatOptions.Tools holds '{tool?.Name}' of type {tool?.GetType().Name}; functions (AIFunctionDeclaration) are expected: the engine has no hosted tools.");
                tools.Add(Declaration(function));
                schemas[function.Name] = function.JsonSchema;
            }
        }

        if (tools.Count > 0 && Format.Tools == ToolCallFormats.None)
        {
            throw new NotSupportedException(
                $"ChatOptions.Tools holds {tools.Count} tools, and the chat template '{template.Name}' knows none of the forms of calls that can be read (LongCat's, Qwen's, Mistral's, Llama 3's). Ask without tools.");
        }

        Dictionary<string, object?> variables = new(defaults.TemplateVariables, StringComparer.Ordinal);
        if (options.Reasoning?.Effort is { } effort)
        {
            variables["enable_thinking"] = effort != ReasoningEffort.None;
        }

        foreach ((string name, object? value) in properties.TemplateVariables)
        {
            variables[name] = value;
        }

        string text = template.Render(
            ChatMessageConverter.Convert(messages, options.Instructions),
            new ChatTemplateOptions { Tools = tools.Count > 0 ? tools : null, Variables = variables });
        IReadOnlyList<int> ids = tokenizer.Encode(text, addSpecialTokens: false);
        string? adapter = Adapter(options.ModelId, properties.Adapter);
        GenerationOptions generation = Generation(options, properties, client);

        string? openThought = Format.OpenThought(text);
        if (options.ResponseFormat is ChatResponseFormatJson json)
        {
            OutputConstraint constraint = _constraints.Get(json.Schema);
            generation = generation with { Constraint = openThought is null ? constraint : constraint.After(openThought) };
        }
        else if (options.ToolMode is RequiredChatToolMode required)
        {
            OutputConstraint constraint = _constraints.GetCalls(Format, Required(required, schemas), several: options.AllowMultipleToolCalls != false);
            generation = generation with { Constraint = openThought is null ? constraint : constraint.After(openThought) };
        }

        // What was asked for at most is an upper bound: the model's longest sequence ends a reply too, with the finish reason Length.
        int room = engine.LongestSequence - ids.Count;
        generation = generation with { MaxNewTokens = room >= 1 ? Math.Min(generation.MaxNewTokens, room) : generation.MaxNewTokens };
        return new ChatPrompt(
            new GenerationRequest { PromptIds = ids, Adapter = adapter, Options = generation },
            ids.Count,
            adapter ?? modelId,
            openThought,
            schemas,
            options.AllowMultipleToolCalls == false,
            options.Reasoning?.Output == ReasoningOutput.None,
            generation.Constraint is not null && options.ToolMode is not RequiredChatToolMode);
    }

    /// <summary>The tools of which one must be called.</summary>
    private static (string Name, JsonElement Schema)[] Required(RequiredChatToolMode mode, Dictionary<string, JsonElement> schemas)
    {
        if (mode.RequiredFunctionName is not { } name)
        {
            return schemas.Count > 0
                ? [.. schemas.Select(tool => (tool.Key, tool.Value))]
                : throw new ArgumentException("ChatOptions.ToolMode requires a call of a tool, and ChatOptions.Tools holds none; give the tools, or leave ToolMode null.", nameof(mode));
        }

        return schemas.TryGetValue(name, out JsonElement schema)
            ? [(name, schema)]
            : throw new ArgumentException(
                $"ChatOptions.ToolMode requires a call of '{name}', and ChatOptions.Tools holds {(schemas.Count > 0 ? string.Join(", ", schemas.Keys) : "no tools")}; name one of the tools.", nameof(mode));
    }

    private static void Refuse(ChatOptions options)
    {
        if (options.ConversationId is { } conversation)
        {
            throw new NotSupportedException($"ChatOptions.ConversationId is '{conversation}'; the client keeps no conversations. Send the whole chat with every request: its beginning is found in the cache.");
        }

#pragma warning disable MEAI001 // Experimental there; a token that is passed over would answer something else than was asked.
        if (options.ContinuationToken is not null)
#pragma warning restore MEAI001
        {
            throw new NotSupportedException("ChatOptions.ContinuationToken is set; the client answers in the foreground and gives no such tokens. Ask again with the whole chat.");
        }

        if (options.ResponseFormat is ChatResponseFormatJson && options.Tools is { Count: > 0 } && options.ToolMode is not NoneChatToolMode)
        {
            throw new NotSupportedException("ChatOptions.ResponseFormat asks for JSON and ChatOptions.Tools holds tools; a reply is either constrained or may call. Ask for one of the two.");
        }
    }

    private GenerationOptions Generation(ChatOptions options, ChatProperties properties, IChatClient client)
    {
        GenerationOptions generation = options.RawRepresentationFactory?.Invoke(client) switch
        {
            null => defaults.Generation,
            GenerationOptions own => own,
            object other => throw new ArgumentException($"ChatOptions.RawRepresentationFactory gave {other.GetType().Name}; {nameof(GenerationOptions)} is expected.", nameof(options)),
        };
        if (options.Seed is { } seed)
        {
            generation = generation with { Seed = unchecked((ulong)seed) };
        }

        if (properties.LogProbabilities is { } logProbabilities)
        {
            generation = generation with { LogProbabilities = logProbabilities };
        }

        return generation with
        {
            MaxNewTokens = options.MaxOutputTokens ?? generation.MaxNewTokens,
            Temperature = options.Temperature ?? generation.Temperature,
            TopP = options.TopP ?? generation.TopP,
            TopK = options.TopK ?? generation.TopK,
            PresencePenalty = options.PresencePenalty ?? generation.PresencePenalty,
            FrequencyPenalty = options.FrequencyPenalty ?? generation.FrequencyPenalty,
            StopStrings = options.StopSequences is { Count: > 0 } stops ? [.. stops] : generation.StopStrings,
            StopTokenIds = [.. generation.StopTokenIds.Union(defaults.StopTokenIds)],
            SpecialTokensInText = true,
        };
    }

    /// <summary>The adapter that a request names as such, or as its model (as servers with several adapters have it).</summary>
    private string? Adapter(string? model, string? adapter)
    {
        if (adapter is not null || model is null || model == modelId)
        {
            return adapter;
        }

        return engine.Adapters.Any(known => known.Name == model)
            ? model
            : throw new InferenceException(
                $"ChatOptions.ModelId is '{model}'; the client has '{modelId}'{string.Concat(engine.Adapters.Select(known => $", '{known.Name}'"))}. Use one of them, or leave it null.");
    }

    private static JsonElement Declaration(AIFunctionDeclaration function) => JsonSerializer.SerializeToElement(new JsonObject
    {
        ["type"] = "function",
        ["function"] = new JsonObject
        {
            ["name"] = function.Name,
            ["description"] = function.Description,
            ["parameters"] = JsonNode.Parse(function.JsonSchema.GetRawText()),
        },
    });
}
