using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Saving;

/// <summary>
/// What a step adds to a <see cref="SchemaShape"/>. Outsiders cannot make the columns of a shape, so a custom mapping that never runs is
/// asked for its own, described exactly like the step's (names, known sizes, keys, annotations).
/// </summary>
internal static class ShapeProbe
{
    public static SchemaShape Output(MLContext context, RowStep step, SchemaShape input)
    {
        StepSchema.Check(step, input);
        return step switch
        {
            GenerateStep => Probe<SavedGenerate>(context, step, input),
            ScoreStep => Probe<SavedScoreTokens>(context, step, input),
            EmbedStep => Probe<EmbedProbe>(context, step, input),
            ClassifyStep => Probe<ClassifyProbe>(context, step, input),
            _ => Probe<SavedTokenize>(context, step, input),
        };
    }

    private static SchemaShape Probe<TOutput>(MLContext context, RowStep step, SchemaShape input)
        where TOutput : class, new()
    {
        SchemaDefinition definition = SchemaDefinition.Create(typeof(TOutput), SchemaDefinition.Direction.Write);
        foreach (SchemaDefinition.Column described in definition.ToArray())
        {
            StepColumn? column = step.Outputs.FirstOrDefault(output => output.SavedName == described.ColumnName);
            if (column is null)
            {
                definition.Remove(described);
                continue;
            }

            described.ColumnName = column.Name;
            described.ColumnType = column.Type;
            if (column.Annotations() is { } annotations)
            {
                DataViewSchema.Column annotation = annotations.Schema[0];
                VBuffer<ReadOnlyMemory<char>> value = default;
                annotations.GetValue(annotation.Name, ref value);
                described.AddAnnotation(annotation.Name, value, annotation.Type);
            }
        }

        return context.Transforms.CustomMapping<NoInput, TOutput>((_, _) => { }, contractName: null, outputSchemaDefinition: definition).GetOutputSchema(input);
    }

    private sealed class NoInput;

    // The saved form writes the vector in parts.
    private sealed class EmbedProbe
    {
        [ColumnName(SavedNames.Embedding)]
        public VBuffer<float> Embedding { get; set; }
    }

    // The saved form writes the label as text and makes it a key afterwards; the step's own column is a key.
    private sealed class ClassifyProbe
    {
        [ColumnName(SavedNames.Label)]
        public uint Label { get; set; }

        [ColumnName(SavedNames.LabelScores)]
        public VBuffer<float> LabelScores { get; set; }
    }
}
