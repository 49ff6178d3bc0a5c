using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Rows;

/// <summary>
/// The input with the step's columns, many rows in the engine at once. One cursor reads the source once and in order; splitting it would
/// run everything upstream once per part, and the rows of one engine gain nothing from it.
/// </summary>
internal sealed class BatchedView(IDataView source, StepSession session) : IDataView
{
    public bool CanShuffle => false;

    public DataViewSchema Schema { get; } = StepSchema.Output(session.Step, source.Schema);

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        int[] active = [.. columnsNeeded.Select(column => column.Index).Distinct()];
        int passed = source.Schema.Count;
        DataViewSchema.Column[] sourceColumns = [.. active.Where(index => index < passed).Select(index => source.Schema[index])];

        // Nothing of ours is asked for: no model, no work.
        return active.All(index => index < passed)
            ? new PassingCursor(Schema, source.GetRowCursor(sourceColumns), active)
            : new BatchedCursor(Schema, session, source, sourceColumns, active);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
