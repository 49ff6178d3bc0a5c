namespace LongCat.ML.Inference.Chat;

/// <summary>What a <see cref="LongCatChatClient"/> does where a request does not say otherwise. Immutable.</summary>
public sealed record LongCatChatClientOptions
{
    /// <summary>The model's name in responses, metadata and telemetry. Null: the folder's name, or the architecture where the client was made from an engine.</summary>
    public string? ModelId { get; init; }

    /// <summary>
    /// Defaults of requests: at most 2,048 new tokens (fewer where the model's longest sequence ends before), and temperature 0. <see cref="LongCatChatClient.Load"/> puts in the
    /// <c>temperature</c>, <c>top_p</c> and <c>top_k</c> of the folder's <c>generation_config.json</c> where nothing is set here.
    /// </summary>
    public GenerationOptions Generation
    {
        get => ChosenGeneration ?? new GenerationOptions { MaxNewTokens = 2048 };
        init => ChosenGeneration = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>
    /// Variables of the chat template, such as <c>enable_thinking</c>; <c>ChatOptions.AdditionalProperties["chat_template_kwargs"]</c> and <c>ChatOptions.Reasoning</c> add to
    /// them. Values as in <see cref="LongCat.ML.Checkpoints.ChatTemplateOptions.Variables"/>. Default none.
    /// </summary>
    public IReadOnlyDictionary<string, object?> TemplateVariables { get; init; } = new Dictionary<string, object?>();

    /// <summary>
    /// Tokens that end a reply besides the model's end-of-sequence tokens. <see cref="LongCatChatClient.Load"/> adds the <c>eos_token_id</c> of the folder's
    /// <c>generation_config.json</c>. Default none.
    /// </summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>What the caller set; null where nothing was.</summary>
    internal GenerationOptions? ChosenGeneration { get; private init; }
}
