using Microsoft.ML.Data;

namespace Microsoft.ML.Rows;

/// <summary>
/// A row-to-row step bound to an input schema: which output column passes which input column through, which ones it adds,
/// and what those need. Columns that nobody asked for are never computed.
/// </summary>
internal abstract class RowBinding
{
    private readonly int[] source;

    /// <param name="input">The schema bound to.</param>
    /// <param name="kept">Input columns that pass through, first in the output.</param>
    /// <param name="added">Columns that the step adds, after them.</param>
    protected RowBinding(DataViewSchema input, IEnumerable<DataViewSchema.Column> kept, IReadOnlyList<DataViewSchema.DetachedColumn> added)
    {
        InputSchema = input;
        var builder = new DataViewSchema.Builder();
        DataViewSchema.Column[] passed = [.. kept];
        builder.AddColumns(passed);
        builder.AddColumns(added);
        OutputSchema = builder.ToSchema();
        source = [.. passed.Select(column => column.Index), .. Enumerable.Range(0, added.Count).Select(i => -1 - i)];
    }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    public int SourceOf(int output) => source[output];

    public IEnumerable<DataViewSchema.Column> InputsFor(IEnumerable<DataViewSchema.Column> outputs)
    {
        var needed = new SortedSet<int>();
        var addedActive = new SortedSet<int>();
        foreach (DataViewSchema.Column output in outputs)
        {
            if (source[output.Index] >= 0)
            {
                needed.Add(source[output.Index]);
            }
            else
            {
                addedActive.Add(-1 - source[output.Index]);
            }
        }

        foreach (int added in addedActive)
        {
            needed.UnionWith(Dependencies(added));
        }

        return [.. needed.Select(index => InputSchema[index])];
    }

    /// <summary>Getters of the added columns over <paramref name="input"/>; those of inactive columns stay null.</summary>
    public abstract Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive);

    protected abstract IEnumerable<int> Dependencies(int added);
}

/// <summary>The columns of a bound row: passed through, or added.</summary>
internal sealed class RowColumns
{
    private readonly RowBinding binding;
    private readonly DataViewRow input;
    private readonly HashSet<int> active;
    private readonly Delegate[] added;

    public RowColumns(RowBinding binding, DataViewRow input, IEnumerable<DataViewSchema.Column> columns)
    {
        this.binding = binding;
        this.input = input;
        active = [.. columns.Select(column => column.Index)];
        HashSet<int> activeAdded = [.. active.Where(index => binding.SourceOf(index) < 0).Select(index => -1 - binding.SourceOf(index))];
        added = binding.CreateGetters(input, activeAdded.Contains);
    }

    public bool IsActive(DataViewSchema.Column column) => active.Contains(column.Index);

    public ValueGetter<TValue> Getter<TValue>(DataViewSchema.Column column)
    {
        if (!IsActive(column))
        {
            throw new InvalidOperationException($"Column '{column.Name}' is not active in the cursor or row");
        }

        int source = binding.SourceOf(column.Index);
        return source >= 0
            ? input.GetGetter<TValue>(binding.InputSchema[source])
            : added[-1 - source] as ValueGetter<TValue>
                ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: '{typeof(TValue)}', expected '{column.Type.RawType}'");
    }
}

/// <summary>A row seen through a binding.</summary>
internal sealed class MappedRow(RowBinding binding, DataViewRow input, IEnumerable<DataViewSchema.Column> active) : DataViewRow
{
    private readonly RowColumns columns = new(binding, input, active);

    public override long Position => input.Position;

    public override long Batch => input.Batch;

    public override DataViewSchema Schema => binding.OutputSchema;

    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => columns.IsActive(column);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => columns.Getter<TValue>(column);

    protected override void Dispose(bool disposing) => input.Dispose();
}

/// <summary>A cursor seen through a binding.</summary>
internal sealed class MappedCursor(RowBinding binding, DataViewRowCursor input, IEnumerable<DataViewSchema.Column> active) : DataViewRowCursor
{
    private readonly RowColumns columns = new(binding, input, active);

    public override long Position => input.Position;

    public override long Batch => input.Batch;

    public override DataViewSchema Schema => binding.OutputSchema;

    public override bool MoveNext() => input.MoveNext();

    public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

    public override bool IsColumnActive(DataViewSchema.Column column) => columns.IsActive(column);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => columns.Getter<TValue>(column);

    protected override void Dispose(bool disposing) => input.Dispose();
}

/// <summary>A view seen through a binding.</summary>
internal sealed class MappedView(RowBinding binding, IDataView input) : IDataView
{
    public bool CanShuffle => input.CanShuffle;

    public DataViewSchema Schema => binding.OutputSchema;

    public long? GetRowCount() => input.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        DataViewSchema.Column[] active = [.. columnsNeeded];
        return new MappedCursor(binding, input.GetRowCursor(binding.InputsFor(active), rand), active);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
    {
        DataViewSchema.Column[] active = [.. columnsNeeded];
        return [.. input.GetRowCursorSet(binding.InputsFor(active), n, rand).Select(cursor => new MappedCursor(binding, cursor, active))];
    }
}

/// <summary>A binding as a mapper of single rows.</summary>
internal sealed class BoundMapper(RowBinding binding) : IRowToRowMapper
{
    public DataViewSchema InputSchema => binding.InputSchema;

    public DataViewSchema OutputSchema => binding.OutputSchema;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns) => binding.InputsFor(dependingColumns);

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) => new MappedRow(binding, input, activeColumns);
}

/// <summary>Mappers one after another.</summary>
internal sealed class CompositeMapper(DataViewSchema input, IRowToRowMapper[] mappers) : IRowToRowMapper
{
    public DataViewSchema InputSchema => input;

    public DataViewSchema OutputSchema => mappers.Length > 0 ? mappers[^1].OutputSchema : input;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns) =>
        mappers.Reverse().Aggregate(dependingColumns, (columns, mapper) => mapper.GetDependencies(columns));

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns)
    {
        // What each mapper must give is what the ones after it need.
        var active = new IEnumerable<DataViewSchema.Column>[mappers.Length];
        IEnumerable<DataViewSchema.Column> wanted = [.. activeColumns];
        for (int i = mappers.Length - 1; i >= 0; i--)
        {
            active[i] = wanted;
            wanted = [.. mappers[i].GetDependencies(wanted)];
        }

        DataViewRow row = input;
        for (int i = 0; i < mappers.Length; i++)
        {
            row = mappers[i].GetRow(row, active[i]);
        }

        return row;
    }
}
