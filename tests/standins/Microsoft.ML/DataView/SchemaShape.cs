using System.Collections;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>What is known of a schema before any data is seen.</summary>
public sealed class SchemaShape : IReadOnlyList<SchemaShape.Column>
{
    private static readonly SchemaShape Empty = new([]);
    private readonly Column[] columns;

    public SchemaShape(IEnumerable<Column> columns) => this.columns = [.. columns];

    public int Count => columns.Length;

    public Column this[int index] => columns[index];

    public IEnumerator<Column> GetEnumerator() => ((IEnumerable<Column>)columns).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal static SchemaShape Create(DataViewSchema schema) =>
        new(schema.Where(column => !column.IsHidden).Select(column => Column.Of(column.Name, column.Type, Create(column.Annotations.Schema))));

    /// <summary>One column of a shape.</summary>
    public struct Column
    {
        public readonly string Name;
        public readonly VectorKind Kind;
        public readonly DataViewType ItemType;
        public readonly bool IsKey;
        public readonly SchemaShape Annotations;

        internal Column(string name, VectorKind kind, DataViewType itemType, bool isKey, SchemaShape annotations = null)
        {
            Name = name;
            Kind = kind;
            ItemType = itemType;
            IsKey = isKey;
            Annotations = annotations ?? Empty;
        }

        /// <summary>How many values a row has in the column.</summary>
        public enum VectorKind
        {
            Scalar,
            Vector,
            VariableVector,
        }

        internal readonly string TypeString => Kind switch
        {
            VectorKind.Vector => $"Vector<{ItemString}>",
            VectorKind.VariableVector => $"VarVector<{ItemString}>",
            _ => ItemString,
        };

        private readonly string ItemString => IsKey ? $"Key<{ItemType}>" : ItemType.ToString();

        internal static Column Of(string name, DataViewType type, SchemaShape annotations)
        {
            var vector = type as VectorDataViewType;
            DataViewType item = vector?.ItemType ?? type;
            bool isKey = item is KeyDataViewType;
            return new Column(
                name,
                vector is null ? VectorKind.Scalar : vector.IsKnownSize ? VectorKind.Vector : VectorKind.VariableVector,
                isKey ? PrimitiveDataViewType.From(item.RawType) : item,
                isKey,
                annotations);
        }
    }
}
