using LongCat.ML.Checkpoints;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;

namespace LongCat.ML.Training.Estimators;

/// <summary>A view as training examples: read once, held as token ids.</summary>
/// <param name="Examples">The examples; <see cref="TrainingExample.Source"/> is the row, from 1.</param>
/// <param name="Rows">Rows of the view.</param>
/// <param name="Unusable">Rows left out.</param>
/// <param name="FirstProblem">What is wrong with the first of them.</param>
internal sealed record ExampleRows(IReadOnlyList<TrainingExample> Examples, long Rows, long Unusable, string? FirstProblem)
{
    /// <summary>Reads and encodes a view.</summary>
    /// <param name="view">The view.</param>
    /// <param name="name">What it is called in messages.</param>
    /// <param name="columns">Its columns, checked.</param>
    /// <param name="encoder">The encoder.</param>
    /// <param name="labels">The labels; rows add theirs where <paramref name="collect"/> is true.</param>
    /// <param name="collect">Whether a label that is not known yet is a new one; where false such a row is unusable.</param>
    /// <param name="promptTemplate">The prompt around a text to label.</param>
    /// <param name="badRows">What happens to rows that cannot be encoded.</param>
    /// <param name="cancellationToken">Ends it between two rows.</param>
    /// <exception cref="FineTuningException">A row cannot be encoded and that is an error; or no row is usable.</exception>
    public static ExampleRows Read(
        IDataView view, string name, TrainingColumns columns, ExampleEncoder encoder, LabelTexts labels, bool collect, string promptTemplate, BadRows badRows, CancellationToken cancellationToken)
    {
        List<TrainingExample> examples = [];
        long number = 0, unusable = 0;
        string? first = null;
        foreach (TrainingRow row in columns.Read(view))
        {
            cancellationToken.ThrowIfCancellationRequested();
            number++;
            string? problem = row.Problem;
            bool malformed = row.IsMalformed;
            if (problem is null && columns.Kind == RowKind.Label && !labels.Knows(row.Second))
            {
                if (collect)
                {
                    labels.Add(row.Second);
                }
                else
                {
                    problem = $"its label '{row.Second}' is not among those of the training rows";
                }
            }

            Exception? cause = null;
            if (problem is null)
            {
                try
                {
                    IReadOnlyList<TrainingExample> made = columns.Kind switch
                    {
                        RowKind.Text => [encoder.Text(row.First)],
                        RowKind.PromptCompletion => [encoder.Completion(row.First, row.Second)],
                        RowKind.Label => [encoder.Label(row.First, labels.TextOf(row.Second), promptTemplate)],
                        _ => encoder.Chat(row.Messages),
                    };
                    examples.AddRange(made.Select(example => example with { Source = number }));
                    continue;
                }
                catch (Exception error) when (error is FineTuningException or ChatTemplateException or CheckpointException)
                {
                    (problem, malformed, cause) = (error.Message, true, error);
                }
            }

            if (malformed && badRows == BadRows.Fail)
            {
                throw new FineTuningException(
                    $"{name}, row {number}: {problem}. Mend the row, or leave such rows out with {nameof(LoraTrainerOptions)}.{nameof(LoraTrainerOptions.BadRows)}.", cause);
            }

            unusable++;
            first ??= $"{name}, row {number}: {problem}";
        }

        return examples.Count > 0
            ? new ExampleRows(examples, number, unusable, first)
            : throw new FineTuningException(number == 0
                ? $"{name} has no row; expected at least one to learn from."
                : $"{name} has {number} rows and none can be used. The first: {first}");
    }
}
