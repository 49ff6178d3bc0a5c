using LongCat.ML.Models;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>
/// A step as public transformers of ML.NET, which is all that a saved model may hold: CopyColumns to the fixed input names, an
/// Expression whose constant carries the configuration, a CustomMapping with a registered contract, CopyColumns (MapValueToKey for a label)
/// to the wanted names, DropColumns.
/// </summary>
internal static class SavedPipeline
{
    public static ITransformer Build(MLContext context, RowStep step, ModelReference model, IDataView input)
    {
        TransformsCatalog transforms = context.Transforms;
        string first = step.Options.InputColumnName;
        EstimatorChain<ITransformer> chain = new EstimatorChain<ITransformer>()
            .Append<ITransformer>(transforms.CopyColumns(SavedNames.Text, first))
            .Append<ITransformer>(transforms.CopyColumns(SavedNames.Second, step.SecondColumn ?? first))
            .Append<ITransformer>(transforms.Expression(SavedNames.Configuration, Constant(StepConfiguration.Write(step, model)), SavedNames.Text))
            .Append(Mapping(transforms, step));
        foreach (StepColumn column in step.Outputs)
        {
            chain = column.Type is KeyDataViewType
                ? chain.Append<ITransformer>(transforms.Conversion.MapValueToKey(column.Name, column.SavedName, keyData: KeyData(context, column)))
                : chain.Append<ITransformer>(transforms.CopyColumns(column.Name, column.SavedName));
        }

        return chain.Append<ITransformer>(transforms.DropColumns([SavedNames.Text, SavedNames.Second, SavedNames.Configuration, .. SavedOutputs(step)])).Fit(input);
    }

    /// <summary>The step of a loaded chain of this shape, or null.</summary>
    public static (RowStep Step, ModelReference Model)? Read(MLContext context, ITransformer transformer)
    {
        if (transformer is not IEnumerable<ITransformer> chain || !chain.Any(IsMapping))
        {
            return null;
        }

        ExpressionTransformer expression = chain.OfType<ExpressionTransformer>().FirstOrDefault()
            ?? throw new FormatException("A LongCat step of the pipeline has lost its configuration.");

        // The transformer tells nobody its constant, so it is run on one row.
        IDataView row = expression.Transform(context.Data.LoadFromEnumerable(new[] { new SavedInput() }));
        DataViewSchema.Column column = row.Schema[SavedNames.Configuration];
        using DataViewRowCursor cursor = row.GetRowCursor([column]);
        ReadOnlyMemory<char> text = default;
        ValueGetter<ReadOnlyMemory<char>> read = cursor.GetGetter<ReadOnlyMemory<char>>(column);
        cursor.MoveNext();
        read(ref text);
        return StepConfiguration.Read(text.ToString());
    }

    // The expression language has C#'s escapes; JSON as written here is ASCII without line ends.
    private static string Constant(string json) =>
        $"x : \"{json.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    private static IEstimator<ITransformer> Mapping(TransformsCatalog transforms, RowStep step) => step switch
    {
        GenerateStep => transforms.CustomMapping(new SavedGenerateFactory().GetMapping(), SavedGenerateFactory.Contract),
        ScoreStep => transforms.CustomMapping(new SavedScoreFactory().GetMapping(), SavedScoreFactory.Contract),
        ClassifyStep => transforms.CustomMapping(new SavedClassifyFactory().GetMapping(), SavedClassifyFactory.Contract),
        TokenizeStep => transforms.CustomMapping(new SavedTokenizeFactory().GetMapping(), SavedTokenizeFactory.Contract),
        _ => throw new InvalidOperationException($"The step {step.Name} has no saved form."),
    };

    private static bool IsMapping(ITransformer transformer) => transformer
        is CustomMappingTransformer<SavedInput, SavedGenerate>
        or CustomMappingTransformer<SavedInput, SavedScore>
        or CustomMappingTransformer<SavedInput, SavedClassify>
        or CustomMappingTransformer<SavedInput, SavedTokenize>;

    // The mapping writes all of its columns, wanted or not.
    private static string[] SavedOutputs(RowStep step) => step switch
    {
        GenerateStep => [SavedNames.Completion, SavedNames.FinishReason, SavedNames.PromptTokens, SavedNames.CompletionTokens, SavedNames.LogProbabilities],
        ScoreStep => [SavedNames.Score, SavedNames.Perplexity, SavedNames.TokenCount],
        ClassifyStep => [SavedNames.Label, SavedNames.LabelScores],
        _ => [SavedNames.Tokens],
    };

    private static IDataView KeyData(MLContext context, StepColumn column) =>
        context.Data.LoadFromEnumerable(column.Labels!.Select(label => new LabelRow { Label = label }).ToArray());

    private sealed class LabelRow
    {
        public string Label { get; set; } = "";
    }
}
