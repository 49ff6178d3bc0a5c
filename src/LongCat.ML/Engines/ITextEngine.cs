namespace LongCat.ML.Engines;

/// <summary>What the steps need of an engine. Thread-safe: many requests at once are its purpose.</summary>
internal interface ITextEngine : IDisposable
{
    /// <summary>Completes a prompt.</summary>
    Task<TextCompletion> GenerateAsync(CompletionRequest request, CancellationToken cancellationToken);

    /// <summary>The likelihood of <paramref name="continuation"/> after <paramref name="prompt"/>; after the beginning of a text where the prompt is empty.</summary>
    Task<TextLikelihood> ScoreAsync(string prompt, string continuation, OverlongRow overlong, CancellationToken cancellationToken);

    /// <summary>The part of <paramref name="text"/> with which a prompt and the longest of its continuations fit; all of it where that fits or nothing may be cut.</summary>
    string Cut(string text, Func<string, string> prompt, IReadOnlyList<string> continuations, OverlongRow overlong);
}

/// <summary>What turns text into token ids. Thread-safe.</summary>
internal interface ITextTokenizer : IDisposable
{
    /// <summary>The ids of a text, special tokens of the tokenizer's template included.</summary>
    int[] Encode(string text);
}

/// <summary>One prompt with the step's settings.</summary>
internal sealed record CompletionRequest(string Prompt, GenerateOptions Options);

/// <summary>One completion.</summary>
/// <param name="Text">Without the prompt.</param>
/// <param name="FinishReason">stop or length.</param>
/// <param name="PromptTokens">Tokens of the prompt after truncation.</param>
/// <param name="CompletionTokens">Tokens generated.</param>
/// <param name="LogProbabilities">Of each generated token; empty when not asked for.</param>
internal sealed record TextCompletion(string Text, string FinishReason, int PromptTokens, int CompletionTokens, float[] LogProbabilities);

/// <summary>The likelihood of a text: natural logarithm, summed over its tokens.</summary>
internal readonly record struct TextLikelihood(double LogLikelihood, int Tokens);
