using System.Runtime.CompilerServices;
using System.Threading.Channels;
using LongCat.ML.Inference.Requests;

namespace LongCat.ML.Inference;

public sealed partial class InferenceEngine
{
    /// <summary>Completes a prompt.</summary>
    /// <param name="request">The prompt and its options.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>The completion.</returns>
    /// <exception cref="ArgumentException">An option is outside its range, or not exactly one form of the prompt is set.</exception>
    /// <exception cref="InferenceException">The prompt is too long, holds an id outside the vocabulary, or can never fit the page pool; no adapter has the request's name; or its step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed before the completion ended.</exception>
    public async Task<GenerationResult> GenerateAsync(GenerationRequest request, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        (IReadOnlyList<int> prompt, GenerationLimits limits) = Prepare(request);
        int adapter = AdapterIndex(request.Adapter);
        if (limits.MaxNewTokens == 0)
        {
            return new GenerationResult
            {
                Ids = [],
                Text = "",
                FinishReason = FinishReason.Length,
                PromptTokens = prompt.Count,
                LogProbabilities = request.Options.LogProbabilities == 0 ? null : [],
            };
        }

        TaskCompletionSource<GenerationResult> task = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Submit(new GenerationSequence(prompt, request.Options, limits, _codec?.CreateDecoder(request.Options.SpecialTokensInText), _sampler, task, stream: null, adapter, cancellationToken) { Speculation = NewDrafts(request.Options) }, cancellationToken);
        return await task.Task.ConfigureAwait(false);
    }

    /// <summary>
    /// Completes a prompt token by token. The last update carries the finish reason; a cancelled stream ends with <see cref="FinishReason.Cancelled"/> and throws nothing.
    /// Leaving the enumeration early drops the request.
    /// </summary>
    /// <param name="request">The prompt and its options.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>One update for each new token. The engine does not wait for a slow reader.</returns>
    /// <exception cref="ArgumentException">While enumerating: an option is outside its range, or not exactly one form of the prompt is set.</exception>
    /// <exception cref="InferenceException">While enumerating: as for <see cref="GenerateAsync"/>.</exception>
    /// <exception cref="ObjectDisposedException">While enumerating: the engine was disposed before the completion ended.</exception>
    public async IAsyncEnumerable<GenerationUpdate> GenerateStreamingAsync(
        GenerationRequest request, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        (IReadOnlyList<int> prompt, GenerationLimits limits) = Prepare(request);
        int adapter = AdapterIndex(request.Adapter);
        if (cancellationToken.IsCancellationRequested || limits.MaxNewTokens == 0)
        {
            FinishReason reason = cancellationToken.IsCancellationRequested ? FinishReason.Cancelled : FinishReason.Length;
            yield return new GenerationUpdate { Id = -1, Text = "", FinishReason = reason };
            yield break;
        }

        Channel<GenerationUpdate> updates = Channel.CreateUnbounded<GenerationUpdate>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        using CancellationTokenSource left = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Submit(new GenerationSequence(prompt, request.Options, limits, _codec?.CreateDecoder(request.Options.SpecialTokensInText), _sampler, task: null, updates.Writer, adapter, left.Token) { Speculation = NewDrafts(request.Options) }, left.Token);
        try
        {
            await foreach (GenerationUpdate update in updates.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
            {
                yield return update;
            }
        }
        finally
        {
            await left.CancelAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Computes the log-likelihood of a continuation given a prompt. Requests with the same prompt share its pages, whether they come together or one after another.</summary>
    /// <param name="request">Prompt and continuation.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>The log-likelihood, for each token and in total.</returns>
    /// <exception cref="ArgumentException">Prompt and continuation are not both set in exactly one form.</exception>
    /// <exception cref="InferenceException">The texts are too long, the continuation is empty, an id is outside the vocabulary, no adapter has the request's name, or the step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed before the score was there.</exception>
    public async Task<ScoreResult> ScoreAsync(ScoreRequest request, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        (IReadOnlyList<int> prompt, IReadOnlyList<int> continuation) = Prepare(request);
        TaskCompletionSource<ScoreResult> task = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Submit(new ScoreSequence(prompt, continuation, task, AdapterIndex(request.Adapter), cancellationToken), cancellationToken);
        return await task.Task.ConfigureAwait(false);
    }

    /// <summary>Computes the embedding of a text: its tokens' hidden states after the final norm, pooled into one vector.</summary>
    /// <param name="request">The text and how it is pooled.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>The vector, [hidden_size]. It does not depend on what else the engine computes.</returns>
    /// <exception cref="ArgumentException">An option is no member of its type, or not exactly one form of the text is set.</exception>
    /// <exception cref="InferenceException">The text is too long, an id is outside the vocabulary, no adapter has the request's name, the graph gives no hidden states, or the step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed before the embedding was there.</exception>
    public async Task<EmbeddingResult> EmbedAsync(EmbeddingRequest request, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        IReadOnlyList<int> tokens = Prepare(request);
        TaskCompletionSource<EmbeddingResult> task = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Submit(new EmbeddingSequence(tokens, request.Pooling, request.Normalize, _runner.HiddenSize, task, AdapterIndex(request.Adapter), cancellationToken), cancellationToken);
        return await task.Task.ConfigureAwait(false);
    }

    /// <summary>Computes the logits at every position of a text.</summary>
    /// <param name="ids">Token ids, each in 0..V-1, at least one.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>[ids.Count, V] row-major: row t holds the logits of the token that follows position t.</returns>
    /// <exception cref="InferenceException">There are no ids, too many for the model, the pool or one array, or one outside the vocabulary; or the step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed before the logits were there.</exception>
    public Task<float[]> LogitsAsync(IReadOnlyList<int> ids, CancellationToken cancellationToken = default) => LogitsAsync(ids, adapter: null, cancellationToken);

    /// <summary>Computes the logits at every position of a text, with an adapter.</summary>
    /// <param name="ids">Token ids, each in 0..V-1, at least one.</param>
    /// <param name="adapter">The adapter's name, one of <see cref="EngineOptions.Adapters"/>; null for the model alone.</param>
    /// <param name="cancellationToken">Drops the request at any time and returns its pages.</param>
    /// <returns>[ids.Count, V] row-major: row t holds the logits of the token that follows position t.</returns>
    /// <exception cref="InferenceException">There are no ids, too many for the model, the pool or one array, or one outside the vocabulary; no adapter has the name; or the step failed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The engine was disposed before the logits were there.</exception>
    public async Task<float[]> LogitsAsync(IReadOnlyList<int> ids, string? adapter, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        IReadOnlyList<int> tokens = PrepareLogits(ids);
        TaskCompletionSource<float[]> task = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Submit(new LogitsSequence(tokens, Manifest.VocabSize, task, AdapterIndex(adapter), cancellationToken), cancellationToken);
        return await task.Task.ConfigureAwait(false);
    }
}
