using LongCat.ML.Models;
using LongCat.ML.Saving;
using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>An estimator whose step runs a language model over text rows. Fitting reads no row and loads no model: it checks the schema and the model's folder.</summary>
/// <remarks>Immutable and thread-safe. Owns nothing that must be disposed.</remarks>
public abstract class TextEstimator : IEstimator<TextTransformer>
{
    private readonly MLContext context;
    private readonly RowStep step;
    private readonly ModelReference model;

    private protected TextEstimator(MLContext context, RowStep step)
    {
        step.Options.Validate();
        this.context = context;
        this.step = step;
        model = ModelReference.Read(step.ModelKind, step.Options.ModelFolder, step.Options.Engine.Adapters);
        Names.Check(step);
    }

    /// <summary>Binds the step to the columns of <paramref name="input"/>.</summary>
    /// <param name="input">A view with the columns that the step reads; no row of it is read.</param>
    /// <returns>The transformer.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or not text; the message names it, its type and what was expected.</exception>
    public TextTransformer Fit(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        StepSchema.Check(step, input.Schema);
        ITransformer saved = SavedPipeline.Build(context, step, model, input);
        return new TextTransformer(new StepSession(step, model, context, pipelineFolder: null), saved);
    }

    /// <summary>What the step makes of a shape.</summary>
    /// <param name="inputSchema">A shape with the columns that the step reads.</param>
    /// <returns>The same columns and the step's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or not text; the message names it, its type and what was expected.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        return ShapeProbe.Output(context, step, inputSchema);
    }

    private static class Names
    {
        public static void Check(RowStep step)
        {
            string[] twice = [.. step.Outputs.GroupBy(column => column.Name).Where(group => group.Count() > 1).Select(group => group.Key)];
            if (twice.Length > 0)
            {
                throw new ArgumentException($"{step.Name} would write the column '{twice[0]}' twice; give its output columns different names.");
            }

            foreach (StepColumn column in step.Outputs)
            {
                Throw.IfBlank(column.Name, "an output column's name");
                if (column.Name.StartsWith(SavedNames.Prefix, StringComparison.Ordinal))
                {
                    throw new ArgumentException(
                        $"{step.Name} would write the column '{column.Name}': names that begin with '{SavedNames.Prefix}' are dropped at the end of a saved pipeline. Choose another one.");
                }
            }
        }
    }
}
