using LongCat.ML.Benchmarks.LlamaCpp;
using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>A loaded model whose prompt processing and decoding are measured.</summary>
internal interface IEngineContestant : IDisposable
{
    string Name { get; }

    /// <summary>Tokens per second of one prompt.</summary>
    double Prompt(int length);

    /// <summary>Tokens per second of so many sequences together, each after <see cref="EngineContestants.Context"/> tokens.</summary>
    double Decode(int sequences, int steps);
}

internal static class EngineContestants
{
    /// <summary>Tokens of a sequence before its first decoding step.</summary>
    public const int Context = 128;

    public const int LongestPrompt = 512;

    /// <summary>The most sequences.</summary>
    public const int Sequences = 8;

    /// <summary>The most decoding steps.</summary>
    public const int Steps = 64;
}

/// <summary>An export in the engine, sampling and scheduling included.</summary>
internal sealed class OwnEngine : IEngineContestant
{
    // A sequence that starts some steps before the others shall still run when the last ends.
    private const int Slack = 16;
    private readonly InferenceEngine engine;
    private readonly Prompts prompts;
    private readonly GenerationRequest[] contexts;

    public OwnEngine(BenchmarkModel model, string name, int threads, WeightPages pages = WeightPages.Mapped)
    {
        Name = name;
        prompts = new Prompts(model.Config.VocabSize);
        engine = InferenceEngine.Load(model.Folder, new EngineOptions
        {
            Threads = threads,
            MaxSequences = EngineContestants.Sequences,
            WeightPages = pages,

            // Sequences of the standard operators have slots of equal length. The contexts stay in the cache of ours from one turn to the next: computing them again
            // is not what is measured.
            MemoryBudgetBytes = model.TokenCacheBytes * EngineContestants.Sequences * (EngineContestants.LongestPrompt + EngineContestants.Steps + 32),
        });
        contexts = [.. Enumerable.Range(0, EngineContestants.Sequences).Select(_ => prompts.Request(EngineContestants.Context, newTokens: 1))];
    }

    public string Name { get; }

    public double Prompt(int length) => EngineRates.Prompt(engine, prompts.Request(length, newTokens: 1));

    public double Decode(int sequences, int steps) => sequences == 1
        ? EngineRates.Decode(engine, Longer(contexts[0], steps + 1))
        : EngineRates.DecodeBesides(engine, [.. contexts.Take(sequences - 1).Select(context => Longer(context, steps + 1 + Slack))], Longer(contexts[sequences - 1], steps + 1));

    public void Dispose() => engine.Dispose();

    private static GenerationRequest Longer(GenerationRequest context, int newTokens) =>
        new() { PromptIds = context.PromptIds, Options = new GenerationOptions { MaxNewTokens = newTokens, IgnoreEos = true } };
}

/// <summary>A GGUF file in llama.cpp.</summary>
internal sealed class Peer(LlamaCppLibrary library, string file, string name, int vocabulary, int threads) : IEngineContestant
{
    private readonly LlamaCppModel model = new(
        library, file, vocabulary, threads, EngineContestants.Sequences, Math.Max(EngineContestants.LongestPrompt, EngineContestants.Context + EngineContestants.Steps));

    public string Name => name;

    public double Prompt(int length) => model.Prompt(length);

    public double Decode(int sequences, int steps) => model.Decode(sequences, EngineContestants.Context, steps);

    public void Dispose() => model.Dispose();
}
