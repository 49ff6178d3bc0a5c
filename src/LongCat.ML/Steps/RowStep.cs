using LongCat.ML.Inputs;
using LongCat.ML.Models;

namespace LongCat.ML.Steps;

/// <summary>The texts of one row; <see cref="Second"/> is empty for steps that read one.</summary>
internal readonly record struct RowTexts(string First, string Second);

/// <summary>
/// What a step does with one row: the columns it reads and writes, the results of rows that have nothing to do or fail, and the work itself.
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
internal abstract class RowStep
{
    protected RowStep(StepOptions options)
    {
        Options = options;
        First = new ColumnText(options.InputColumnName);
    }

    /// <summary>The step's name in messages, the saved configuration and the contract of a saved pipeline.</summary>
    public abstract string Name { get; }

    public StepOptions Options { get; }

    public virtual ModelKind ModelKind => ModelKind.Engine;

    /// <summary>Where the first text of a row comes from.</summary>
    public TextSource First { get; protected init; }

    /// <summary>Where the second text of a row comes from, or null.</summary>
    public TextSource? Second { get; protected init; }

    public abstract IReadOnlyList<StepColumn> Outputs { get; }

    /// <summary>The result of a row that has nothing to run.</summary>
    public abstract RowResult Empty { get; }

    /// <summary>The result of a row that failed where failing rows are to be empty.</summary>
    public virtual RowResult Failed => Empty;

    /// <summary>The columns that the step reads.</summary>
    public IEnumerable<StepInput> Inputs => Second is null ? First.Inputs : First.Inputs.Concat(Second.Inputs);

    /// <summary>Whether the row has nothing to run. ML.NET makes no difference between null and empty text.</summary>
    public virtual bool IsEmpty(RowTexts texts) => texts.First.Length == 0;

    /// <summary>Runs one row on the model that <see cref="ModelKind"/> names.</summary>
    public abstract Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken);
}
