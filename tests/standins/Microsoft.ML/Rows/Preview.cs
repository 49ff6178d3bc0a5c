using System.Collections.Immutable;
using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML
{
    /// <summary>A look at the first rows.</summary>
    public static class DebuggerExtensions
    {
        public static DataDebuggerPreview Preview(this IDataView data, int maxRows = 100) => new(data, maxRows);
    }
}

namespace Microsoft.ML.Data
{
    /// <summary>The first rows of a view, every column of them.</summary>
    public sealed class DataDebuggerPreview
    {
        internal DataDebuggerPreview(IDataView data, int maxRows)
        {
            Schema = data.Schema;
            var rows = new List<RowInfo>();
            using (DataViewRowCursor cursor = data.GetRowCursor(data.Schema))
            {
                Func<object>[] readers = [.. data.Schema.Select(column => (Func<object>)typeof(DataDebuggerPreview)
                    .GetMethod(nameof(Reader), BindingFlags.Static | BindingFlags.NonPublic)
                    .MakeGenericMethod(column.Type.RawType).Invoke(null, [cursor, column]))];
                while (rows.Count < maxRows && cursor.MoveNext())
                {
                    rows.Add(new RowInfo([.. data.Schema.Select(column => KeyValuePair.Create(column.Name, readers[column.Index]()))]));
                }
            }

            RowView = [.. rows];
        }

        public DataViewSchema Schema { get; }

        public ImmutableArray<RowInfo> RowView { get; }

        private static Func<object> Reader<T>(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            return () =>
            {
                T value = default;
                getter(ref value);
                return value;
            };
        }

        /// <summary>One row.</summary>
        public sealed class RowInfo
        {
            internal RowInfo(KeyValuePair<string, object>[] values) => Values = values;

            public KeyValuePair<string, object>[] Values { get; }
        }
    }
}
