using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace LongCat.ML.RepositoryTests.PublicApi;

/// <summary>The public API of an assembly as text, one line per type and member, in an order that does not depend on the sources.</summary>
internal static class ApiListing
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    /// <summary>Lists every type that is visible outside, each followed by its public and protected members, indented.</summary>
    public static IEnumerable<string> Of(Assembly assembly)
    {
        foreach (Type type in assembly.GetExportedTypes().OrderBy(type => type.FullName, StringComparer.Ordinal))
        {
            yield return Header(type);
            foreach (string member in Members(type).Order(StringComparer.Ordinal))
            {
                yield return "    " + member;
            }
        }
    }

    private static string Header(Type type)
    {
        MethodInfo? invoke = type.BaseType == typeof(MulticastDelegate) ? type.GetMethod("Invoke") : null;
        string name = type.Namespace + "." + TypeText.Of(type);
        if (invoke is not null)
        {
            return $"delegate {TypeText.Of(invoke.ReturnParameter)} {name}({Parameters(invoke)})";
        }

        string kind = type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct" : type.IsAbstract && type.IsSealed ? "static class"
            : type.IsAbstract ? "abstract class" : type.IsSealed ? "sealed class" : "class";
        // Interfaces that the base type or another interface brings along say nothing new.
        IEnumerable<Type> interfaces = type.GetInterfaces();
        interfaces = interfaces.Except(type.BaseType?.GetInterfaces() ?? []).Except(interfaces.SelectMany(one => one.GetInterfaces()));
        IEnumerable<string> bases = type.IsEnum ? [TypeText.Of(Enum.GetUnderlyingType(type))]
            : (type.BaseType is null || type.BaseType == typeof(object) || type.BaseType == typeof(ValueType) ? [] : new[] { TypeText.Of(type.BaseType) })
                .Concat(interfaces.Select(one => TypeText.Of(one)).Order(StringComparer.Ordinal));
        string list = string.Join(", ", bases);
        return $"{kind} {name}{(list.Length > 0 ? " : " + list : "")}";
    }

    private static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
        {
            return type.GetFields(BindingFlags.Public | BindingFlags.Static)
                .Select(field => $"{Convert.ToInt64(field.GetRawConstantValue(), CultureInfo.InvariantCulture),4} {field.Name}");
        }

        if (type.BaseType == typeof(MulticastDelegate))
        {
            return [];
        }

        return type.GetConstructors(Declared).Where(IsVisible).Where(one => !one.IsStatic).Select(one => $"{Modifiers(one)}new({Parameters(one)})")
            .Concat(type.GetMethods(Declared).Where(one => IsVisible(one) && IsWritten(one) && !IsAccessor(one))
                .Select(one => $"{Modifiers(one)}{TypeText.Of(one.ReturnParameter)} {one.Name}{TypeText.Arguments(one)}({Parameters(one)})"))
            .Concat(type.GetProperties(Declared).Where(one => one.Name != "EqualityContract" && one.GetAccessors(true).Any(IsVisible)).Select(Property))
            .Concat(type.GetEvents(Declared).Where(one => IsVisible(one.AddMethod!)).Select(one => $"event {TypeText.Of(one.EventHandlerType!)} {one.Name}"))
            .Concat(type.GetFields(Declared).Where(one => one.IsPublic || one.IsFamily || one.IsFamilyOrAssembly)
                .Select(one => $"{(one.IsLiteral ? "const " : one.IsStatic ? "static " : "")}{TypeText.Of(one)} {one.Name}"));
    }

    private static string Property(PropertyInfo property)
    {
        MethodInfo? get = property.GetMethod is { } getter && IsVisible(getter) ? getter : null, set = property.SetMethod is { } setter && IsVisible(setter) ? setter : null;
        bool init = set?.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) == true;
        bool required = property.IsDefined(typeof(RequiredMemberAttribute));
        ParameterInfo[] indexes = property.GetIndexParameters();
        string name = indexes.Length > 0 ? $"this[{string.Join(", ", indexes.Select(Parameter))}]" : property.Name;
        return $"{(required ? "required " : "")}{Modifiers((get ?? set)!)}{TypeText.Of(property)} {name} {{ {(get is null ? "" : "get; ")}{(set is null ? "" : init ? "init; " : "set; ")}}}";
    }

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    // What the compiler adds to a record is no one's decision.
    private static bool IsWritten(MethodInfo method) => !method.IsDefined(typeof(CompilerGeneratedAttribute)) && !method.Name.Contains('<', StringComparison.Ordinal);

    private static bool IsAccessor(MethodInfo method) => method.IsSpecialName && !method.Name.StartsWith("op_", StringComparison.Ordinal);

    private static string Modifiers(MethodBase method) =>
        (method.IsPublic ? "" : "protected ") + (method.IsStatic ? "static " : "") + (method.DeclaringType!.IsInterface ? ""
            : method.IsAbstract ? "abstract " : method is MethodInfo { IsVirtual: true, IsFinal: false } info ? info.GetBaseDefinition() == info && !info.IsDefined(typeof(PreserveBaseOverridesAttribute)) ? "virtual " : "override " : "");

    private static string Parameters(MethodBase method) =>
        (method.IsDefined(typeof(ExtensionAttribute)) ? "this " : "") + string.Join(", ", method.GetParameters().Select(Parameter));

    private static string Parameter(ParameterInfo parameter)
    {
        string passing = parameter.IsOut ? "out " : parameter.IsIn ? "in " : parameter.ParameterType.IsByRef ? "ref " : parameter.IsDefined(typeof(ParamArrayAttribute)) ? "params " : "";
        string value = !parameter.HasDefaultValue ? "" : " = " + parameter.RawDefaultValue switch
        {
            null => parameter.ParameterType.IsValueType ? "default" : "null",
            string text => $"\"{text}\"",
            bool flag => flag ? "true" : "false",
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            object other => other.ToString(),
        };
        return $"{passing}{TypeText.Of(parameter)} {parameter.Name}{value}";
    }
}
