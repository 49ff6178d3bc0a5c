using LongCat.ML.Models;

namespace LongCat.ML.Steps;

/// <summary>The texts of one row; <see cref="Second"/> is empty for steps that read one column.</summary>
internal readonly record struct RowTexts(string First, string Second);

/// <summary>
/// What a step does with one row: the columns it reads and writes, the results of rows that have nothing to do or fail, and the work itself.
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
internal abstract class RowStep
{
    protected RowStep(StepOptions options) => Options = options;

    /// <summary>The step's name in messages, the saved configuration and the contract of a saved pipeline.</summary>
    public abstract string Name { get; }

    public StepOptions Options { get; }

    public virtual ModelKind ModelKind => ModelKind.Engine;

    /// <summary>The second text column, or null.</summary>
    public virtual string? SecondColumn => null;

    public abstract IReadOnlyList<StepColumn> Outputs { get; }

    /// <summary>The result of a row that has nothing to run.</summary>
    public abstract RowResult Empty { get; }

    /// <summary>The result of a row that failed where failing rows are to be empty.</summary>
    public virtual RowResult Failed => Empty;

    public IEnumerable<string> Inputs => SecondColumn is null ? [Options.InputColumnName] : [Options.InputColumnName, SecondColumn];

    /// <summary>Whether the row has nothing to run. ML.NET makes no difference between null and empty text.</summary>
    public virtual bool IsEmpty(RowTexts texts) => texts.First.Length == 0;

    /// <summary>Runs one row on the model that <see cref="ModelKind"/> names.</summary>
    public abstract Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken);
}
