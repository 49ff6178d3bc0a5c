using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>The mapping of a saved step: a class of outputs under a registered contract. Part of the file format: a step with other columns gets another form beside the old one.</summary>
/// <param name="Mapping">Makes the mapping.</param>
/// <param name="Outputs">The columns that it writes, wanted or not.</param>
/// <param name="Is">Whether a transformer is such a mapping.</param>
internal sealed record SavedForm(Func<TransformsCatalog, IEstimator<ITransformer>> Mapping, string[] Outputs, Func<ITransformer, bool> Is)
{
    private static readonly SavedForm Generate = Form(new SavedGenerateFactory(), SavedGenerateFactory.Contract);
    private static readonly SavedForm Score = Form(new SavedScoreFactory(), SavedScoreFactory.Contract);
    private static readonly SavedForm ScoreTokens = Form(new SavedScoreTokensFactory(), SavedScoreTokensFactory.Contract);
    private static readonly SavedForm Classify = Form(new SavedClassifyFactory(), SavedClassifyFactory.Contract);
    private static readonly SavedForm Embed = Form(new SavedEmbedFactory(), SavedEmbedFactory.Contract);
    private static readonly SavedForm Tokenize = Form(new SavedTokenizeFactory(), SavedTokenizeFactory.Contract);

    private static readonly SavedForm[] All = [Generate, Score, ScoreTokens, Classify, Embed, Tokenize];

    /// <summary>The form in which a step is saved.</summary>
    public static SavedForm Of(RowStep step) => step switch
    {
        GenerateStep => Generate,
        ScoreStep => ((ScoreOptions)step.Options).TokenLogLikelihoodsColumnName is null ? Score : ScoreTokens,
        ClassifyStep => Classify,
        EmbedStep => Embed,
        TokenizeStep => Tokenize,
        _ => throw new InvalidOperationException($"The step {step.Name} has no saved form."),
    };

    /// <summary>Whether a transformer of a loaded chain is the mapping of a step.</summary>
    public static bool IsMapping(ITransformer transformer) => All.Any(form => form.Is(transformer));

    private static SavedForm Form<TOutput>(CustomMappingFactory<SavedInput, TOutput> factory, string contract)
        where TOutput : class, new() => new(
            transforms => transforms.CustomMapping(factory.GetMapping(), contract),
            [.. SchemaDefinition.Create(typeof(TOutput), SchemaDefinition.Direction.Write).Select(column => column.ColumnName)],
            transformer => transformer is CustomMappingTransformer<SavedInput, TOutput>);
}
