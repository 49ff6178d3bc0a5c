using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Rows;

/// <summary>The source's rows under the wider schema, without a column of the step.</summary>
internal sealed class PassingCursor(DataViewSchema schema, DataViewRowCursor source, int[] active) : DataViewRowCursor
{
    public override long Position => source.Position;

    public override long Batch => source.Batch;

    public override DataViewSchema Schema => schema;

    public override bool MoveNext() => source.MoveNext();

    public override ValueGetter<DataViewRowId> GetIdGetter() => source.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => active.Contains(column.Index);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
        {
            Throw.InactiveColumn(column);
        }

        return source.GetGetter<TValue>(source.Schema[column.Index]);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            source.Dispose();
        }
    }
}
