using LongCat.ML.Inputs;
using LongCat.ML.Models;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>The texts of one row; <see cref="Second"/> is empty for steps that read one, <see cref="Adapter"/> where no column names an adapter or the row wants none.</summary>
internal readonly record struct RowTexts(string First, string Second, string Adapter = "");

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
        AdapterColumn = options.AdapterColumnName is { } column ? new ColumnText(column) : null;
    }

    /// <summary>The step's name in messages, the saved configuration and the contract of a saved pipeline.</summary>
    public abstract string Name { get; }

    public StepOptions Options { get; }

    public virtual ModelKind ModelKind => ModelKind.Engine;

    /// <summary>Where the first text of a row comes from.</summary>
    public TextSource First { get; protected init; }

    /// <summary>Where the second text of a row comes from, or null.</summary>
    public TextSource? Second { get; protected init; }

    /// <summary>Where the name of a row's adapter comes from, or null: then all rows run with the step's own.</summary>
    public TextSource? AdapterColumn { get; }

    public abstract IReadOnlyList<StepColumn> Outputs { get; }

    /// <summary>The result of a row that has nothing to run.</summary>
    public abstract RowResult Empty { get; }

    /// <summary>The result of a row that failed where failing rows are to be empty.</summary>
    public virtual RowResult Failed => Empty;

    /// <summary>The columns that the step reads.</summary>
    public IEnumerable<StepInput> Inputs => [.. First.Inputs, .. Second?.Inputs ?? [], .. AdapterColumn?.Inputs ?? []];

    /// <summary>A reader of the texts of whatever row <paramref name="row"/> stands on.</summary>
    /// <param name="row">A row or cursor in which the columns of <see cref="Inputs"/> are active.</param>
    /// <param name="schema">The schema in which they are looked up.</param>
    public Func<RowTexts> Bind(DataViewRow row, DataViewSchema schema)
    {
        Func<string> first = First.Bind(row, schema);
        Func<string>? second = Second?.Bind(row, schema);
        Func<string>? adapter = AdapterColumn?.Bind(row, schema);
        return () => new RowTexts(first(), second?.Invoke() ?? "", adapter?.Invoke() ?? "");
    }

    /// <summary>Whether the row has nothing to run. ML.NET makes no difference between null and empty text.</summary>
    public virtual bool IsEmpty(RowTexts texts) => texts.First.Length == 0;

    /// <summary>The name of the adapter that a row runs with; null for the model alone.</summary>
    protected string? AdapterOf(RowTexts texts) => texts.Adapter.Length > 0 ? texts.Adapter : Options.Adapter;

    /// <summary>Runs one row on the model that <see cref="ModelKind"/> names.</summary>
    public abstract Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken);
}
