using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks;

/// <summary>Prompts that are all different from their first tokens on: the engine would read equal beginnings only once.</summary>
internal sealed class Prompts(int vocabSize)
{
    private static readonly string[] Verbs = ["Gets", "Sets", "Copies", "Initializes", "Compares", "Removes"];
    private static readonly string[] Nouns = ["collection", "stream", "buffer", "read-only property", "asynchronous operation", "encoding", "document"];

    private readonly Random random = new(20);
    private int texts;

    public GenerationRequest Request(int length, int newTokens) => new()
    {
        PromptIds = [.. Enumerable.Range(0, length).Select(_ => random.Next(16, vocabSize))],
        Options = new GenerationOptions { MaxNewTokens = newTokens, IgnoreEos = true },
    };

    /// <summary>About sixteen bytes: where every byte is a token, as many tokens as a real tokenizer makes of <see cref="Text"/>.</summary>
    public string Short() => $"{++texts}. {Pick(Verbs)} the";

    public string Text() => $"{++texts}. {Pick(Verbs)} the {Pick(Nouns)} of the current {Pick(Nouns)}. It";

    private string Pick(string[] words) => words[random.Next(words.Length)];
}
