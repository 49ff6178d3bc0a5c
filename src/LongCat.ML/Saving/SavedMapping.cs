using System.Runtime.InteropServices;
using LongCat.ML.Steps;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>The mapping of a saved step: reads the configuration from its column and runs the row. Called by several cursors at once.</summary>
internal sealed class SavedMapping<TOutput>
    where TOutput : class, ISavedOutput, new()
{
    // The configuration is a constant column: one text object for all rows, so the comparison is of references almost always.
    private volatile Known? known;

    private sealed record Known(ReadOnlyMemory<char> Configuration, StepSession Session);

    public void Map(SavedInput input, TOutput output)
    {
        StepSession session = SessionOf(input.Configuration);
        string text = input.Text.ToString(), second = input.Second.ToString();
        RowTexts texts = session.Step.AdapterColumn is null ? new RowTexts(text, second) : SavedAdaptedText.Split(text, second);
        RowResult result = session.Run(texts, row: -1);
        output.Fill(session.Step, result);
    }

    private StepSession SessionOf(ReadOnlyMemory<char> configuration)
    {
        Known? current = known;
        if (current is null || !Same(current.Configuration, configuration))
        {
            (RowStep step, Models.ModelReference model) = StepConfiguration.Read(configuration.ToString());
            known = current = new Known(configuration, new StepSession(step, model, context: null, pipelineFolder: null));
        }

        return current.Session;
    }

    private static bool Same(ReadOnlyMemory<char> one, ReadOnlyMemory<char> other) =>
        (MemoryMarshal.TryGetString(one, out string? a, out int startA, out int lengthA)
            && MemoryMarshal.TryGetString(other, out string? b, out int startB, out int lengthB)
            && ReferenceEquals(a, b) && startA == startB && lengthA == lengthB)
        || one.Span.SequenceEqual(other.Span);
}

/// <summary>Makes the mapping when ML.NET loads a saved Generate step.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedGenerateFactory : CustomMappingFactory<SavedInput, SavedGenerate>
{
    public const string Contract = "LongCat.ML.Generate.1";

    public override Action<SavedInput, SavedGenerate> GetMapping() => new SavedMapping<SavedGenerate>().Map;
}

/// <summary>Makes the mapping when ML.NET loads a saved Score step.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedScoreFactory : CustomMappingFactory<SavedInput, SavedScore>
{
    public const string Contract = "LongCat.ML.Score.1";

    public override Action<SavedInput, SavedScore> GetMapping() => new SavedMapping<SavedScore>().Map;
}

/// <summary>Makes the mapping when ML.NET loads a saved Score step that gives the likelihood of each token.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedScoreTokensFactory : CustomMappingFactory<SavedInput, SavedScoreTokens>
{
    public const string Contract = "LongCat.ML.Score.2";

    public override Action<SavedInput, SavedScoreTokens> GetMapping() => new SavedMapping<SavedScoreTokens>().Map;
}

/// <summary>Makes the mapping when ML.NET loads a saved Embed step.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedEmbedFactory : CustomMappingFactory<SavedInput, SavedEmbed>
{
    public const string Contract = "LongCat.ML.Embed.1";

    public override Action<SavedInput, SavedEmbed> GetMapping() => new SavedMapping<SavedEmbed>().Map;
}

/// <summary>Makes the mapping when ML.NET loads a saved Classify step.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedClassifyFactory : CustomMappingFactory<SavedInput, SavedClassify>
{
    public const string Contract = "LongCat.ML.Classify.1";

    public override Action<SavedInput, SavedClassify> GetMapping() => new SavedMapping<SavedClassify>().Map;
}

/// <summary>Makes the mapping when ML.NET loads a saved Tokenize step.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedTokenizeFactory : CustomMappingFactory<SavedInput, SavedTokenize>
{
    public const string Contract = "LongCat.ML.Tokenize.1";

    public override Action<SavedInput, SavedTokenize> GetMapping() => new SavedMapping<SavedTokenize>().Map;
}
