using System.Runtime.CompilerServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Prompts;
using LongCat.ML.Inference.Chat.Replies;
using LongCat.ML.Inference.Chat.Telemetry;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace LongCat.ML.Inference.Chat;

/// <summary>
/// A chat client of Microsoft.Extensions.AI over an <see cref="InferenceEngine"/>: the model's chat template makes the prompt, and what the model writes is split into answer
/// (<see cref="TextContent"/>), thoughts (<see cref="TextReasoningContent"/>) and calls of tools (<see cref="FunctionCallContent"/>) as the template's family marks them.
/// </summary>
/// <remarks>
/// <para>Thread-safe; requests of all callers share the engine's steps, and chats that begin alike share the beginning's cache pages. It keeps no conversation: every request
/// brings the whole chat.</para>
/// <para>Options beyond <see cref="ChatOptions"/>' own, in <see cref="ChatOptions.AdditionalProperties"/>: <c>adapter</c> (one of <see cref="EngineOptions.Adapters"/>; a
/// <see cref="ChatOptions.ModelId"/> of that name does the same), <c>logprobs</c> (true or false) and <c>top_logprobs</c> (how many alternatives), <c>chat_template_kwargs</c>
/// (variables of the template). <see cref="ChatOptions.RawRepresentationFactory"/> may give the <see cref="GenerationOptions"/> that the other options are put into.
/// <see cref="ChatOptions.Reasoning"/> sets <c>enable_thinking</c> and, with <see cref="ReasoningOutput.None"/>, leaves thoughts out of the response.</para>
/// <para>Log-probabilities come as <c>AdditionalProperties["logprobs"]</c>, an <see cref="IReadOnlyList{T}"/> of <see cref="TokenLogProbability"/>, in each update for its tokens and in
/// a response for all. <see cref="ChatToolMode.RequireAny"/> and
/// <see cref="ChatToolMode.RequireSpecific"/> constrain the reply to calls whose arguments satisfy the tools' schemas. What cannot be done (other content than text, hosted tools) is a <see cref="NotSupportedException"/> that names it.</para>
/// <para>Activities and metrics follow OpenTelemetry's conventions for generative AI: <see cref="LongCatTelemetry"/>.</para>
/// </remarks>
public sealed class LongCatChatClient : IChatClient
{
    private readonly InferenceEngine _engine;
    private readonly ChatTemplate _template;
    private readonly ChatPromptBuilder _prompts;
    private readonly ChatClientMetadata _metadata;
    private readonly bool _ownsEngine;

    /// <summary>Creates a client over an engine.</summary>
    /// <param name="engine">The engine, with the folder's tokenizer.</param>
    /// <param name="template">The model's chat template (<see cref="ChatTemplate.Load"/>).</param>
    /// <param name="options">What requests leave open; null for the defaults.</param>
    /// <param name="ownsEngine">Whether disposing the client disposes the engine. Default false.</param>
    /// <exception cref="InferenceException">The engine's folder holds no tokenizer.json.</exception>
    public LongCatChatClient(InferenceEngine engine, ChatTemplate template, LongCatChatClientOptions? options = null, bool ownsEngine = false)
    {
        ArgumentNullException.ThrowIfNull(engine);
        ArgumentNullException.ThrowIfNull(template);
        options ??= new LongCatChatClientOptions();
        _engine = engine;
        _template = template;
        _ownsEngine = ownsEngine;
        HuggingFaceTokenizer tokenizer = engine.Tokenizer
            ?? throw new InferenceException("a chat needs a tokenizer, and the model folder holds no tokenizer.json. Export the model again from a folder that has one.");
        string model = options.ModelId ?? engine.Manifest.Architecture;
        _prompts = new ChatPromptBuilder(engine, tokenizer, template, options, model);
        _metadata = new ChatClientMetadata(LongCatTelemetry.ProviderName, providerUri: null, model);
    }

    /// <summary>Opens an exported model folder for chat: the engine, the chat template, and the defaults of its <c>generation_config.json</c>.</summary>
    /// <param name="folder">A folder that <c>longcat export</c> wrote, from a checkpoint with a chat template.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults.</param>
    /// <param name="options">What requests leave open; null for the defaults.</param>
    /// <returns>A client that owns its engine, to be disposed by the caller.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model, holds no chat template, or one of its files is damaged.</exception>
    /// <exception cref="ChatTemplateException">The chat template is malformed or uses what is not supported.</exception>
    /// <exception cref="InferenceException">The engine cannot be loaded; see <see cref="InferenceEngine.Load"/>.</exception>
    public static LongCatChatClient Load(string folder, EngineOptions? engineOptions = null, LongCatChatClientOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return Create(folder, () => InferenceEngine.Load(folder, engineOptions), ownsEngine: true, options);
    }

    /// <summary>A client for a folder, over an engine that is asked for once the template is known to be there: an engine takes time and memory.</summary>
    internal static LongCatChatClient Create(string folder, Func<InferenceEngine> load, bool ownsEngine, LongCatChatClientOptions? options)
    {
        // A folder that is no exported model says so, rather than that it holds no template.
        ModelManifest.Read(folder);
        options = GenerationDefaults.Fill(options ?? new LongCatChatClientOptions(), folder);
        options = options with { ModelId = options.ModelId ?? NameOf(folder) };
        ChatTemplate template = ChatTemplate.Load(folder) ?? throw new CheckpointException(
            folder,
            "holds no chat template: neither chat_template.jinja nor `chat_template` in tokenizer_config.json. Export a chat model's folder, or complete plain text with InferenceEngine.GenerateAsync.");
        InferenceEngine engine = load();
        try
        {
            return new LongCatChatClient(engine, template, options, ownsEngine);
        }
        catch when (ownsEngine)
        {
            engine.Dispose();
            throw;
        }
    }

    /// <summary>The name of a folder's model.</summary>
    internal static string NameOf(string folder) => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Options or messages ask for what the engine cannot do.</exception>
    /// <exception cref="ArgumentException">There are no messages, an option is outside its range, or a call is required of a tool that is not there.</exception>
    /// <exception cref="ChatTemplateException">The chat template refuses the messages.</exception>
    /// <exception cref="InferenceException">The prompt is too long, no model or adapter has the name, a schema cannot constrain the reply, or the step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        List<ChatResponseUpdate> updates = [];
        List<TokenLogProbability>? logProbabilities = null;
        await foreach (ChatResponseUpdate update in StreamAsync(messages, options, streams: false, cancellationToken).ConfigureAwait(false))
        {
            updates.Add(update);
            if (update.AdditionalProperties?.Remove(LogProbabilities, out object? values) == true)
            {
                (logProbabilities ??= []).AddRange((IReadOnlyList<TokenLogProbability>)values!);
            }
        }

        ChatResponse response = updates.ToChatResponse();
        if (logProbabilities is not null)
        {
            (response.AdditionalProperties ??= [])[LogProbabilities] = logProbabilities;
        }

        return response;
    }

    /// <inheritdoc/>
    /// <remarks>
    /// The last update has the finish reason and the usage. Exceptions are those of <see cref="GetResponseAsync"/>, thrown while enumerating. Leaving the enumeration early drops the request;
    /// after a cancellation no update comes any more, even where the engine was ahead of its reader.
    /// </remarks>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        StreamAsync(messages, options, streams: true, cancellationToken);

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options, bool streams, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(messages);
        cancellationToken.ThrowIfCancellationRequested();
        ChatPrompt prompt = _prompts.Build(messages, options, this);
        using ChatOperation operation = ChatOperation.Start(prompt, streams);
        ReplyParser parser = new(_prompts.Format, prompt.Tools, prompt.OpenThought, prompt.Data);
        ReplyUpdates updates = new(prompt);
        IAsyncEnumerator<GenerationUpdate> tokens = _engine.GenerateStreamingAsync(prompt.Request, cancellationToken).GetAsyncEnumerator(CancellationToken.None);
        await using (tokens.ConfigureAwait(false))
        {
            FinishReason? finish = null;
            while (finish is null)
            {
                try
                {
                    // The engine does not wait for its reader: a whole reply may lie ready when the caller cancels.
                    cancellationToken.ThrowIfCancellationRequested();
                    finish = await tokens.MoveNextAsync().ConfigureAwait(false) ? Take(tokens.Current, parser, updates, prompt, operation) : FinishReason.Stop;
                    if (finish == FinishReason.Cancelled)
                    {
                        throw new OperationCanceledException(cancellationToken);
                    }
                }
                catch (Exception error)
                {
                    operation.Fail(error);
                    throw;
                }

                if (finish is null && updates.Next() is { } update)
                {
                    operation.Chunk();
                    yield return update;
                }
            }

            parser.Flush(finish == FinishReason.Stop, updates.Contents);
            ChatResponseUpdate last = updates.Last(finish.Value);
            operation.Finish(last, updates.Usage);
            operation.Chunk();
            yield return last;
        }
    }

    /// <inheritdoc/>
    /// <remarks>Knows <see cref="ChatClientMetadata"/>, <see cref="InferenceEngine"/>, <see cref="HuggingFaceTokenizer"/> and <see cref="ChatTemplate"/>.</remarks>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
        {
            return null;
        }

        return serviceType == typeof(ChatClientMetadata) ? _metadata
            : serviceType == typeof(InferenceEngine) ? _engine
            : serviceType == typeof(HuggingFaceTokenizer) ? _engine.Tokenizer
            : serviceType == typeof(ChatTemplate) ? _template
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <summary>Disposes the engine where the client owns it.</summary>
    public void Dispose()
    {
        if (_ownsEngine)
        {
            _engine.Dispose();
        }
    }

    internal const string LogProbabilities = "logprobs";

    /// <summary>Takes a token of the reply.</summary>
    /// <returns>Why the reply ends with it; null where it goes on.</returns>
    private static FinishReason? Take(GenerationUpdate token, ReplyParser parser, ReplyUpdates updates, ChatPrompt prompt, ChatOperation operation)
    {
        if (token.Id >= 0)
        {
            operation.Token();
            updates.Count(token, parser.Thinking);
        }

        parser.Append(token.Text, updates.Contents);
        return token.FinishReason ?? (prompt.OneCall && parser.Calls > 0 ? FinishReason.Stop : null);
    }
}
