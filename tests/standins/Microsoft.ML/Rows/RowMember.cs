using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.Rows;

/// <summary>A field or property of a row class, as a column.</summary>
internal sealed class RowMember
{
    private readonly FieldInfo field;
    private readonly PropertyInfo property;

    private RowMember(MemberInfo member, SchemaDefinition.Column column)
    {
        field = member as FieldInfo;
        property = member as PropertyInfo;
        Column = column;
        if (column.ColumnType.RawType != RawTypeOf(MemberType))
        {
            throw new ArgumentException($"Column '{column.ColumnName}' is of type {column.ColumnType}, which the member '{member.Name}' of type {MemberType} cannot hold");
        }
    }

    public SchemaDefinition.Column Column { get; }

    private Type MemberType => this.field?.FieldType ?? property.PropertyType;

    public static RowMember[] Of(Type type, SchemaDefinition definition, SchemaDefinition.Direction direction) =>
        [.. (definition ?? SchemaDefinition.Create(type, direction)).Select(column =>
            new RowMember(type.GetMember(column.MemberName, BindingFlags.Public | BindingFlags.Instance).Single(), column))];

    /// <summary>What the getters of a column over a member of this type write.</summary>
    public static Type RawTypeOf(Type member) => member switch
    {
        _ when member == typeof(string) => typeof(ReadOnlyMemory<char>),
        { IsArray: true } => typeof(VBuffer<>).MakeGenericType(RawTypeOf(member.GetElementType())),
        _ => member,
    };

    public Delegate Getter<TRow>(Func<TRow> current) =>
        (Delegate)typeof(RowMember).GetMethod(nameof(GetterOf), BindingFlags.Instance | BindingFlags.NonPublic)
            .MakeGenericMethod(typeof(TRow), Column.ColumnType.RawType).Invoke(this, [current]);

    public Action<TRow> Setter<TRow>(DataViewRow row, DataViewSchema.Column column) =>
        (Action<TRow>)typeof(RowMember).GetMethod(nameof(SetterOf), BindingFlags.Instance | BindingFlags.NonPublic)
            .MakeGenericMethod(typeof(TRow), column.Type.RawType).Invoke(this, [row, column]);

    private ValueGetter<TValue> GetterOf<TRow, TValue>(Func<TRow> current) =>
        (ref TValue value) => value = (TValue)ToRaw(field is not null ? field.GetValue(current()) : property.GetValue(current()));

    private Action<TRow> SetterOf<TRow, TValue>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<TValue> getter = row.GetGetter<TValue>(column);
        return target =>
        {
            TValue value = default;
            getter(ref value);
            object converted = FromRaw(value);
            if (field is not null)
            {
                field.SetValue(target, converted);
            }
            else
            {
                property.SetValue(target, converted);
            }
        };
    }

    private object ToRaw(object value)
    {
        if (MemberType == typeof(string))
        {
            return ((string)value).AsMemory();
        }

        if (!MemberType.IsArray)
        {
            return value;
        }

        return MemberType == typeof(string[])
            ? new VBuffer<ReadOnlyMemory<char>>(((string[])value)?.Length ?? 0, ((string[])value)?.Select(text => text.AsMemory()).ToArray())
            : Activator.CreateInstance(RawTypeOf(MemberType), ((Array)value)?.Length ?? 0, value, null);
    }

    private object FromRaw(object value)
    {
        if (value is ReadOnlyMemory<char> text && MemberType == typeof(string))
        {
            return text.ToString();
        }

        if (!MemberType.IsArray)
        {
            return value;
        }

        return value is VBuffer<ReadOnlyMemory<char>> texts && MemberType == typeof(string[])
            ? texts.DenseValues().Select(item => item.ToString()).ToArray()
            : typeof(RowMember).GetMethod(nameof(Dense), BindingFlags.Static | BindingFlags.NonPublic)
                .MakeGenericMethod(MemberType.GetElementType()).Invoke(null, [value]);
    }

    private static T[] Dense<T>(VBuffer<T> vector) => [.. vector.DenseValues()];
}

/// <summary>One object of a row class as a row.</summary>
internal sealed class ObjectRow<TRow> : DataViewRow
{
    private readonly Delegate[] getters;
    private TRow current;
    private long position = -1;

    public ObjectRow(SchemaDefinition definition)
    {
        RowMember[] members = RowMember.Of(typeof(TRow), definition, SchemaDefinition.Direction.Read);
        Schema = SchemaOf(members);
        getters = [.. members.Select(member => member.Getter(() => current))];
    }

    public override long Position => position;

    public override long Batch => 0;

    public override DataViewSchema Schema { get; }

    public static DataViewSchema SchemaOf(IEnumerable<RowMember> members)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(members.Select(member => member.Column.Detach()));
        return builder.ToSchema();
    }

    public void Set(TRow row)
    {
        current = row;
        position++;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)position, 0);

    public override bool IsColumnActive(DataViewSchema.Column column) => true;

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => getters[column.Index] as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: '{typeof(TValue)}', expected '{column.Type.RawType}'");
}

/// <summary>The objects of an enumerable as a view: every cursor enumerates anew.</summary>
internal sealed class EnumerableView<TRow> : IDataView
{
    private readonly IEnumerable<TRow> rows;
    private readonly RowMember[] members;

    public EnumerableView(IEnumerable<TRow> rows, SchemaDefinition definition)
    {
        this.rows = rows;
        members = RowMember.Of(typeof(TRow), definition, SchemaDefinition.Direction.Read);
        Schema = ObjectRow<TRow>.SchemaOf(members);
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => (rows as ICollection<TRow>)?.Count;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null) =>
        new Cursor(this, [.. columnsNeeded.Select(column => column.Index)]);

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor : DataViewRowCursor
    {
        private readonly EnumerableView<TRow> view;
        private readonly IEnumerator<TRow> rows;
        private readonly Delegate[] getters;
        private long position = -1;

        public Cursor(EnumerableView<TRow> view, HashSet<int> active)
        {
            this.view = view;
            rows = view.rows.GetEnumerator();
            getters = [.. view.members.Select((member, i) => active.Contains(i) ? member.Getter(() => rows.Current) : null)];
        }

        public override long Position => position;

        public override long Batch => 0;

        public override DataViewSchema Schema => view.Schema;

        public override bool MoveNext()
        {
            bool moved = rows.MoveNext();
            position = moved ? position + 1 : -1;
            return moved;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)position, 0);

        public override bool IsColumnActive(DataViewSchema.Column column) => getters[column.Index] is not null;

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            (getters[column.Index] ?? throw new InvalidOperationException($"Column '{column.Name}' is not active in the cursor")) as ValueGetter<TValue>
            ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: '{typeof(TValue)}', expected '{column.Type.RawType}'");

        protected override void Dispose(bool disposing) => rows.Dispose();
    }
}
