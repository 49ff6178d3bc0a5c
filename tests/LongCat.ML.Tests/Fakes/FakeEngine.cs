using System.Collections.Concurrent;
using LongCat.ML.Engines;
using LongCat.ML.Inference;

namespace LongCat.ML.Tests.Fakes;

/// <summary>
/// An engine with a loop of its own, as the real one has: each step advances every request by one token, so the number of steps shows how many
/// rows ran together. A completion is the prompt's characters in reverse order between angle brackets, behind the adapter's name where there is one, and the settings where it is sampled, one token per step for
/// <see cref="TokensPerCompletion"/> steps at most; a text is as many tokens as it has characters.
/// </summary>
internal sealed class FakeEngine : ITextEngine
{
    public const int MaxPositions = 40;
    public const int TokensPerCompletion = 4;

    /// <summary>No power of two, so that a saved embedding has several parts.</summary>
    public const int HiddenSize = 11;

    private readonly BlockingCollection<Request> incoming = [];
    private readonly Thread loop;
    private int steps;
    private int started;
    private int cancelled;
    private int largestBatch;

    public FakeEngine()
    {
        loop = new Thread(Run) { IsBackground = true };
        loop.Start();
    }

    /// <summary>The names that requests may give.</summary>
    public IReadOnlyList<string> Adapters { get; init; } = [];

    public int Steps => Volatile.Read(ref steps);

    public int Started => Volatile.Read(ref started);

    public int Cancelled => Volatile.Read(ref cancelled);

    public int LargestBatch => Volatile.Read(ref largestBatch);

    public bool IsDisposed { get; private set; }

    /// <summary>While set, the loop stands still, so that a test can look at what is in flight.</summary>
    public ManualResetEventSlim Gate { get; } = new(initialState: true);

    public async Task<TextCompletion> GenerateAsync(CompletionRequest request, CancellationToken cancellationToken)
    {
        CompletionSettings settings = request.Settings;
        string chat = string.Join('|', (request.Messages ?? []).Select(message => $"{message.Role}:{message.Content}"));
        string variables = string.Concat(request.ChatVariables.Select(pair => $"|{pair.Key}={pair.Value}"));
        string prompt = Fit(request.Messages is null ? request.Prompt : chat + variables, settings.OverlongRows);
        int tokens = Math.Min(TokensPerCompletion, settings.MaxNewTokens);
        await Enqueue(prompt, tokens, cancellationToken).ConfigureAwait(false);
        string text = Named(request.Adapter) + "<" + string.Concat(prompt.Reverse()) + ">";
        if (settings.Temperature > 0)
        {
            text += FormattableString.Invariant($" at {settings.Temperature}, {settings.TopK}, {settings.TopP}, {settings.Seed}");
        }

        foreach (string stop in settings.StopStrings)
        {
            text = text.Split(stop)[0];
        }

        float[] probabilities = settings.LogProbabilities ? [.. Enumerable.Range(1, tokens).Select(i => -0.5f * i)] : [];
        return new TextCompletion(text, tokens < TokensPerCompletion ? "length" : "stop", prompt.Length, tokens, probabilities);
    }

    public async Task<TextLikelihood> ScoreAsync(string prompt, string continuation, OverlongRow overlong, string? adapter, CancellationToken cancellationToken)
    {
        Fit(prompt + continuation, overlong);
        await Enqueue(prompt, 1, cancellationToken).ConfigureAwait(false);

        // A continuation that the prompt already names is more likely.
        double perToken = prompt.Contains(continuation.Trim(), StringComparison.OrdinalIgnoreCase) ? -0.1 : -1;
        return new TextLikelihood((perToken * continuation.Length) - (Named(adapter).Length == 0 ? 0 : adapter!.Length), continuation.Length, [.. Enumerable.Repeat((float)perToken, continuation.Length)]);
    }

    public async Task<float[]> EmbedAsync(string text, EmbeddingPooling pooling, bool normalize, OverlongRow overlong, string? adapter, CancellationToken cancellationToken)
    {
        string fitting = Fit(text, overlong);
        await Enqueue(fitting, 1, cancellationToken).ConfigureAwait(false);
        int added = Named(adapter).Length == 0 ? 0 : adapter!.Length;
        return Array.ConvertAll(Embedding(fitting, pooling, normalize), value => value + added);
    }

    /// <summary>How often each remainder of the characters' codes occurs, over the whole text or in its last character.</summary>
    public static float[] Embedding(string text, EmbeddingPooling pooling, bool normalize)
    {
        float[] vector = new float[HiddenSize];
        foreach (char character in pooling == EmbeddingPooling.Mean ? text : text[^1..])
        {
            vector[character % HiddenSize]++;
        }

        double length = normalize ? Math.Sqrt(vector.Sum(value => value * value)) : 1;
        return Array.ConvertAll(vector, value => (float)(value / length));
    }

    public string Cut(string text, Func<string, string> prompt, IReadOnlyList<string> continuations, OverlongRow overlong)
    {
        int excess = prompt(text).Length + continuations.Max(continuation => continuation.Length) - MaxPositions;
        return excess <= 0 || overlong == OverlongRow.Fail ? text
            : overlong == OverlongRow.TruncateLeft ? text[Math.Min(excess, text.Length)..]
            : text[..Math.Max(0, text.Length - excess)];
    }

    /// <summary>How an adapter shows in a completion.</summary>
    private string Named(string? adapter) => adapter is null ? ""
        : Adapters.Contains(adapter) ? $"[{adapter}]"
        : throw new InferenceException($"no adapter has the name '{adapter}'");

    public void Dispose()
    {
        IsDisposed = true;
        incoming.CompleteAdding();
    }

    private static string Fit(string prompt, OverlongRow overlong)
    {
        if (prompt.Contains("boom", StringComparison.Ordinal))
        {
            throw new InvalidOperationException("the engine refuses this prompt");
        }

        return prompt.Length <= MaxPositions
            ? prompt
            : overlong switch
            {
                OverlongRow.TruncateLeft => prompt[^MaxPositions..],
                OverlongRow.TruncateRight => prompt[..MaxPositions],
                _ => throw new InvalidOperationException($"{prompt.Length} tokens do not fit into {MaxPositions} positions"),
            };
    }

    private Task Enqueue(string prompt, int tokens, CancellationToken cancellationToken)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        Interlocked.Increment(ref started);
        var request = new Request(tokens, cancellationToken);
        incoming.Add(request, CancellationToken.None);
        return request.Done.Task;
    }

    private void Run()
    {
        var active = new List<Request>();
        while (!incoming.IsCompleted || active.Count > 0)
        {
            if (active.Count == 0 && incoming.TryTake(out Request? first, Timeout.Infinite))
            {
                active.Add(first);

                // Requests come in one after another; give a reader that fills its window the time to do so.
                Thread.Sleep(5);
            }

            Gate.Wait();
            while (incoming.TryTake(out Request? next))
            {
                active.Add(next);
            }

            foreach (Request request in active.Where(request => request.Cancellation.IsCancellationRequested).ToArray())
            {
                active.Remove(request);
                Interlocked.Increment(ref cancelled);
                request.Done.TrySetCanceled(request.Cancellation);
            }

            if (active.Count == 0)
            {
                continue;
            }

            Interlocked.Increment(ref steps);
            largestBatch = Math.Max(largestBatch, active.Count);
            foreach (Request request in active.Where(request => --request.Left == 0).ToArray())
            {
                active.Remove(request);
                request.Done.TrySetResult();
            }
        }
    }

    private sealed class Request(int tokens, CancellationToken cancellation)
    {
        public int Left { get; set; } = tokens;

        public CancellationToken Cancellation { get; } = cancellation;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
