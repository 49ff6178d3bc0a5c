using System.Reflection;
using Microsoft.ML.Rows;

namespace Microsoft.ML.Data;

/// <summary>The column's name, where it differs from the member's.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class ColumnNameAttribute(string name) : Attribute
{
    internal string Name { get; } = name;
}

/// <summary>The member is no column.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class NoColumnAttribute : Attribute;

/// <summary>The size of a vector; without it the length differs from row to row.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class VectorTypeAttribute : Attribute
{
    public VectorTypeAttribute() => Dims = [];

    public VectorTypeAttribute(int size) => Dims = [size];

    public VectorTypeAttribute(params int[] dimensions) => Dims = dimensions;

    internal int[] Dims { get; }
}

/// <summary>The member is a key of this many values.</summary>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class KeyTypeAttribute(ulong count) : Attribute
{
    internal ulong Count { get; } = count;
}

/// <summary>How the members of a row class become columns.</summary>
public sealed class SchemaDefinition : List<SchemaDefinition.Column>
{
    private SchemaDefinition()
    {
    }

    /// <summary>Whether members are read or written.</summary>
    [Flags]
    public enum Direction
    {
        Read = 1,
        Write = 2,
        Both = Read | Write,
    }

    public Column this[string columnName] => this.FirstOrDefault(column => column.ColumnName == columnName);

    public static SchemaDefinition Create(Type userType, Direction direction = Direction.Both)
    {
        var definition = new SchemaDefinition();
        IEnumerable<(MemberInfo Member, Type Type)> members = userType.GetFields(BindingFlags.Public | BindingFlags.Instance)
            .Select(field => ((MemberInfo)field, field.FieldType))
            .Concat(userType.GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .Where(property => property.GetIndexParameters().Length == 0
                    && ((direction.HasFlag(Direction.Read) && property.GetGetMethod() is not null)
                        || (direction.HasFlag(Direction.Write) && property.GetSetMethod() is not null)))
                .Select(property => ((MemberInfo)property, property.PropertyType)));
        foreach ((MemberInfo member, Type type) in members)
        {
            if (member.GetCustomAttribute<NoColumnAttribute>() is null)
            {
                definition.Add(new Column(member.Name, TypeOf(member, type), member.GetCustomAttribute<ColumnNameAttribute>()?.Name));
            }
        }

        return definition;
    }

    private static DataViewType TypeOf(MemberInfo member, Type type)
    {
        bool isVector = type.IsArray || (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(VBuffer<>));
        Type itemType = type.IsArray ? type.GetElementType() : isVector ? type.GetGenericArguments()[0] : type;
        PrimitiveDataViewType item = member.GetCustomAttribute<KeyTypeAttribute>() is { } key
            ? new KeyDataViewType(itemType, key.Count)
            : PrimitiveDataViewType.From(itemType);
        int[] dims = member.GetCustomAttribute<VectorTypeAttribute>()?.Dims ?? [];
        return !isVector ? item : dims.Length == 0 ? new VectorDataViewType(item, 0) : new VectorDataViewType(item, dims);
    }

    /// <summary>One member as a column.</summary>
    public sealed class Column
    {
        private readonly DataViewSchema.Annotations.Builder annotations = new();

        internal Column(string memberName, DataViewType columnType, string columnName)
        {
            MemberName = memberName;
            ColumnType = columnType;
            ColumnName = columnName ?? memberName;
        }

        public string MemberName { get; }

        public string ColumnName { get; set; }

        public DataViewType ColumnType { get; set; }

        public DataViewSchema.Annotations Annotations => annotations.ToAnnotations();

        public void AddAnnotation<T>(string kind, T value, DataViewType annotationType) =>
            annotations.Add(kind, annotationType, (ref T target) => target = value);

        internal DataViewSchema.DetachedColumn Detach() => new(ColumnName, ColumnType, Annotations);
    }
}
