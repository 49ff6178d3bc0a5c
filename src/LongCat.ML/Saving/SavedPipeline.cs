using LongCat.ML.Inputs;
using LongCat.ML.Models;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>
/// A step as public transformers of ML.NET, which is all that a saved model may hold: CopyColumns to the fixed input names, an
/// Expression whose constant carries the configuration, a CustomMapping with a registered contract, CopyColumns (MapValueToKey for a label,
/// Concatenate for an embedding) to the wanted names, DropColumns. A row's own settings, and its adapter, pass through mappings of their own in front of the step's.
/// </summary>
internal static class SavedPipeline
{
    public static ITransformer Build(MLContext context, RowStep step, ModelReference model, IDataView input)
    {
        TransformsCatalog transforms = context.Transforms;
        SavedForm form = SavedForm.Of(step);
        EstimatorChain<ITransformer> chain = step.First.Save(new EstimatorChain<ITransformer>(), transforms, SavedNames.Text)
            .Append<ITransformer>(transforms.Expression(SavedNames.Configuration, Constant(StepConfiguration.Write(step, model)), SavedNames.Text));
        chain = (step.Second ?? new ColumnText(SavedNames.Text)).Save(chain, transforms, SavedNames.Second);
        chain = step.AdapterColumn is null ? chain : SavedAdaptedText.Save(step.AdapterColumn.Save(chain, transforms, SavedNames.Adapter), transforms);
        chain = chain.Append(form.Mapping(transforms));
        foreach (StepColumn column in step.Outputs)
        {
            chain = column.Type switch
            {
                KeyDataViewType => chain.Append<ITransformer>(transforms.Conversion.MapValueToKey(column.Name, column.SavedName, keyData: KeyData(context, column))),
                _ when step is EmbedStep embed => chain.Append<ITransformer>(transforms.Concatenate(column.Name, SavedEmbed.Parts(embed.HiddenSize))),
                _ => chain.Append<ITransformer>(transforms.CopyColumns(column.Name, column.SavedName)),
            };
        }

        return chain.Append<ITransformer>(transforms.DropColumns([SavedNames.Text, SavedNames.Second, SavedNames.Configuration, .. form.Outputs])).Fit(input);
    }

    /// <summary>The step of a loaded chain of this shape, or null.</summary>
    public static (RowStep Step, ModelReference Model)? Read(MLContext context, ITransformer transformer)
    {
        if (transformer is not IEnumerable<ITransformer> chain || !chain.Any(SavedForm.IsMapping))
        {
            return null;
        }

        // The configuration is the first expression; those behind it are constants of columns that are not there.
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

    private static IDataView KeyData(MLContext context, StepColumn column) =>
        context.Data.LoadFromEnumerable(column.Labels!.Select(label => new LabelRow { Label = label }).ToArray());

    private sealed class LabelRow
    {
        public string Label { get; set; } = "";
    }
}
