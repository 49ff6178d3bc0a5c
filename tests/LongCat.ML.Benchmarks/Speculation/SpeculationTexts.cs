using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Training.Corpus;

namespace LongCat.ML.Benchmarks.Speculation;

/// <summary>Requests of one kind, the same in every turn: their prompts are read from the engine's prefix cache, so figures are those of generating.</summary>
/// <param name="Name">What the tables call them.</param>
/// <param name="Prompts">Token ids of the prompts, four of them.</param>
/// <param name="Schema">A JSON schema that completions satisfy, or null.</param>
internal sealed record SpeculationTexts(string Name, IReadOnlyList<IReadOnlyList<int>> Prompts, JsonElement? Schema)
{
    public const int Count = 4;

    /// <summary>
    /// longcat-nano's: signatures of members it was not trained on, whose documentation it writes; and the same behind the documentation of two other members of their type, from which a
    /// completion may quote.
    /// </summary>
    public static IEnumerable<SpeculationTexts> OfDocumentation(string folder)
    {
        IReadOnlyList<ApiDocument> unseen = HeldOutList.Read(Path.Combine(folder, "held-out.txt"), SdkDocumentation.Read(SdkDocumentation.Locate())).Rows;
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(folder);

        // The first members of types with three of one kind, spread evenly over the types.
        ApiDocument[][] types =
        [
            .. unseen.Where(document => document.Kind is ApiMemberKind.Method or ApiMemberKind.Property && document.Text.Length is > 120 and < 600)
                .GroupBy(document => (document.DeclaringType, document.Kind)).Where(group => group.Count() >= 3).Select(group => group.Take(3).ToArray()),
        ];
        if (types.Length < Count)
        {
            throw new InvalidOperationException($"{types.Length} types of {folder}/held-out.txt have three documented members in this machine's SDK; at least {Count} are needed");
        }

        ApiDocument[][] chosen = [.. Enumerable.Range(0, Count).Select(i => types[(int)((i + 0.5) * types.Length / Count)])];
        yield return new("signatures", [.. chosen.Select(type => tokenizer.EncodeToIds(type[2].CompletionPrompt))], null);
        yield return new("signatures behind two documents of their types", [.. chosen.Select(type => tokenizer.EncodeToIds($"{type[0].Text}\n\n{type[1].Text}\n\n{type[2].CompletionPrompt}"))], null);
    }

    /// <summary>
    /// A generated model's, which has no language in it: it is let to write a few letters only. Greedily it repeats one of them; at a temperature that levels all logits each is drawn as often as
    /// any other, and what a lookup finds is right as often as a guess among so many.
    /// </summary>
    public static IEnumerable<(SpeculationTexts Texts, float Temperature)> OfLetters(int vocabSize, int newTokens)
    {
        Prompts prompts = new(vocabSize);
        foreach ((string name, string letters, float temperature) in new[] { ("a letter over and over", "ab", 0f), ("two letters", "ab", 1000f), ("four letters", "abcd", 1000f) })
        {
            JsonElement schema = JsonDocument.Parse($$"""{"type": "string", "pattern": "^[{{letters[0]}}-{{letters[^1]}}]{{{newTokens}}}$"}""").RootElement;
            yield return (new(name, [.. Enumerable.Range(0, Count).Select(_ => prompts.Request(24, 1).PromptIds!)], schema), temperature);
        }
    }

    /// <summary>What keeps an engine's completions to the schema; null where there is none.</summary>
    public OutputConstraint? Constraint(InferenceEngine engine) => Schema is { } schema ? OutputConstraint.JsonSchema(schema, engine.Tokenizer!) : null;

    public IReadOnlyList<GenerationRequest> Requests(int newTokens, float temperature, OutputConstraint? constraint) => [.. Prompts.Select((prompt, i) => new GenerationRequest
    {
        PromptIds = prompt,
        Options = new GenerationOptions { MaxNewTokens = newTokens, IgnoreEos = true, Temperature = temperature, Seed = (ulong)i + 1, Constraint = constraint },
    })];
}
