using LongCat.ML.Rows;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML;

/// <summary>A step that runs a language model over text rows, many rows at once.</summary>
/// <remarks>
/// Thread-safe. Holds no model: views, cursors and prediction engines borrow it from a cache of the process, see
/// <see cref="LongCatCatalog.Release()"/>. Views are lazy: the model runs when a cursor reads one of the step's columns, anew for every pass. A cursor reads
/// <see cref="StepOptions.MaxRowsInFlight"/> rows ahead, so Preview(5) starts at most 4 + MaxRowsInFlight rows and cancels those it does not show.
/// Saving writes public transformers of ML.NET (see the package's documentation), which plain <c>mlContext.Model.Load</c> runs row by row.
/// </remarks>
public sealed class TextTransformer : ITransformer
{
    private readonly StepSession session;
    private readonly ITransformer saved;

    internal TextTransformer(StepSession session, ITransformer saved)
    {
        this.session = session;
        this.saved = saved;
    }

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>The content hash of the model, in lower-case hexadecimal.</summary>
    public string ModelContentHash => session.Model.ContentHash;

    /// <summary>The input's columns followed by the step's.</summary>
    /// <param name="inputSchema">A schema with the columns that the step reads.</param>
    /// <returns>The schema of <see cref="Transform"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or not text; the message names it, its type and what was expected.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        return StepSchema.Output(session.Step, inputSchema);
    }

    /// <summary>A view of <paramref name="input"/> with the step's columns. Nothing runs before a cursor reads.</summary>
    /// <param name="input">A view with the columns that the step reads.</param>
    /// <returns>The view. It is read by one cursor at a time: it cannot be split or shuffled.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or not text; the message names it, its type and what was expected.</exception>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new BatchedView(input, session);
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new StepRowMapper(inputSchema, session);

    void ICanSaveModel.Save(ModelSaveContext ctx) => saved.Save(ctx);
}
