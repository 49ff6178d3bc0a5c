using System.Reflection;

namespace LongCat.ML.RepositoryTests.PublicApi;

/// <summary>Types as C# writes them, without namespaces, with the question marks of nullable references.</summary>
internal static class TypeText
{
    private static readonly NullabilityInfoContext Nullability = new();

    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void", [typeof(object)] = "object", [typeof(string)] = "string", [typeof(bool)] = "bool", [typeof(char)] = "char",
        [typeof(byte)] = "byte", [typeof(sbyte)] = "sbyte", [typeof(short)] = "short", [typeof(ushort)] = "ushort", [typeof(int)] = "int", [typeof(uint)] = "uint",
        [typeof(long)] = "long", [typeof(ulong)] = "ulong", [typeof(float)] = "float", [typeof(double)] = "double", [typeof(decimal)] = "decimal",
    };

    public static string Of(ParameterInfo parameter) => Of(parameter.ParameterType, Nullability.Create(parameter));

    public static string Of(PropertyInfo property) => Of(property.PropertyType, Nullability.Create(property));

    public static string Of(FieldInfo field) => Of(field.FieldType, Nullability.Create(field));

    public static string Of(Type type) => Of(type, null);

    /// <summary>The type parameters of a generic method, or nothing.</summary>
    public static string Arguments(MethodInfo method) => method.IsGenericMethod ? $"<{string.Join(", ", method.GetGenericArguments().Select(one => one.Name))}>" : "";

    private static string Of(Type type, NullabilityInfo? nullability)
    {
        if (type.IsByRef)
        {
            return Of(type.GetElementType()!, nullability);
        }

        if (Nullable.GetUnderlyingType(type) is Type underlying)
        {
            return Of(underlying) + "?";
        }

        string mark = nullability is not null && !type.IsValueType && (nullability.ReadState == NullabilityState.Nullable || nullability.WriteState == NullabilityState.Nullable) ? "?" : "";
        if (type.IsPointer)
        {
            return Of(type.GetElementType()!) + "*";
        }

        if (type.IsArray)
        {
            return $"{Of(type.GetElementType()!, nullability?.ElementType)}[{new string(',', type.GetArrayRank() - 1)}]{mark}";
        }

        if (Keywords.TryGetValue(type, out string? keyword))
        {
            return keyword + mark;
        }

        if (type.IsGenericParameter)
        {
            return type.Name + mark;
        }

        string name = type.Name.Split('`')[0];
        if (type.IsGenericType)
        {
            Type[] all = type.GetGenericArguments();
            NullabilityInfo[] known = nullability?.GenericTypeArguments ?? [];
            int outer = type.DeclaringType?.GetGenericArguments().Length ?? 0;
            string arguments = string.Join(", ", all.Skip(outer).Select((one, i) => Of(one, outer + i < known.Length ? known[outer + i] : null)));
            name += arguments.Length > 0 ? $"<{arguments}>" : "";
        }

        return (type.DeclaringType is Type declaring ? Of(declaring) + "." : "") + name + mark;
    }
}
