using System.Text;

namespace LongCat.ML.Training.Corpus;

/// <summary>Turns documentation ids (<c>M:System.Collections.Generic.List`1.Add(`0)</c>) into the short names that a reader of C# knows (<c>List&lt;T&gt;.Add(T)</c>).</summary>
/// <param name="typeParameters">The names of the type parameters that each type declares itself, by the type's id without its prefix.</param>
internal sealed class DocumentationNames(IReadOnlyDictionary<string, string[]> typeParameters)
{
    private static readonly Dictionary<string, string> s_keywords = new(StringComparer.Ordinal)
    {
        ["System.Boolean"] = "bool", ["System.Byte"] = "byte", ["System.SByte"] = "sbyte", ["System.Char"] = "char", ["System.Decimal"] = "decimal",
        ["System.Double"] = "double", ["System.Single"] = "float", ["System.Int32"] = "int", ["System.UInt32"] = "uint", ["System.IntPtr"] = "nint",
        ["System.UIntPtr"] = "nuint", ["System.Int64"] = "long", ["System.UInt64"] = "ulong", ["System.Int16"] = "short", ["System.UInt16"] = "ushort",
        ["System.Object"] = "object", ["System.String"] = "string", ["System.Void"] = "void",
    };

    /// <summary>True when the documentation has an entry for this type.</summary>
    public bool IsType(string name) => typeParameters.ContainsKey(name);

    /// <summary>The namespace and the outermost type of a type that may be nested.</summary>
    public (string Namespace, string Outermost) Place(string type)
    {
        string outermost = type;
        for (int dot = outermost.LastIndexOf('.'); dot > 0 && IsType(outermost[..dot]); dot = outermost.LastIndexOf('.'))
        {
            outermost = outermost[..dot];
        }

        int last = outermost.LastIndexOf('.');
        return (last < 0 ? string.Empty : outermost[..last], outermost);
    }

    /// <summary>The type parameters in scope inside a type: those of the types around it, then its own.</summary>
    public string[] ParametersInScope(string type)
    {
        List<string> names = [];
        string outermost = Place(type).Outermost;
        for (int end = outermost.Length; end <= type.Length;)
        {
            names.AddRange(OwnParameters(type[..end]));
            int next = end == type.Length ? -1 : type.IndexOf('.', end + 1);
            end = end == type.Length ? end + 1 : next < 0 ? type.Length : next;
        }

        return [.. names];
    }

    /// <summary>A type's name without its namespace, type parameters filled in: <c>List&lt;T&gt;.Enumerator</c>.</summary>
    public string ShortType(string type)
    {
        (string space, string outermost) = Place(type);
        StringBuilder result = new();
        int start = space.Length == 0 ? 0 : space.Length + 1;
        for (int end = outermost.Length; ; end = Math.Min(NextDot(type, end + 1), type.Length))
        {
            string segment = type[start..end];
            int tick = segment.IndexOf('`');
            result.Append(result.Length == 0 ? string.Empty : ".").Append(tick < 0 ? segment : segment[..tick]);
            string[] own = OwnParameters(type[..end]);
            if (own.Length > 0)
            {
                result.Append('<').AppendJoin(", ", own).Append('>');
            }

            if (end == type.Length)
            {
                return result.ToString();
            }

            start = end + 1;
        }
    }

    /// <summary>How prose names what a <c>cref</c> points at: types by their short name, members with their type in front and without parameters.</summary>
    public string Reference(string cref)
    {
        cref = cref.StartsWith("Overload:", StringComparison.Ordinal) ? "O" + cref["Overload".Length..] : cref;
        if (cref.Length < 2 || cref[1] != ':')
        {
            return cref;
        }

        string name = cref[2..];
        switch (cref[0])
        {
            case 'T':
                return ShortType(name);
            case 'M' or 'P' or 'F' or 'E' or 'O':
                int open = name.IndexOf('(');
                string path = open < 0 ? name : name[..open];
                int dot = path.LastIndexOf('.');
                if (dot < 0)
                {
                    return path;
                }

                string member = StripArity(path[(dot + 1)..]);
                return member is "#ctor" ? ShortType(path[..dot]) : ShortType(path[..dot]) + "." + member;
            default:
                return name;
        }
    }

    /// <summary>The C# spelling of one type in a documentation id's parameter list.</summary>
    /// <param name="id">The type, such as <c>System.Collections.Generic.IEnumerable{`0}[]@</c>.</param>
    /// <param name="ofType">Names that <c>`n</c> stands for.</param>
    /// <param name="ofMethod">Names that <c>``n</c> stands for.</param>
    public string Parameter(string id, string[] ofType, string[] ofMethod)
    {
        if (id.EndsWith('@'))
        {
            return "ref " + Parameter(id[..^1], ofType, ofMethod);
        }

        if (id.EndsWith('*'))
        {
            return Parameter(id[..^1], ofType, ofMethod) + "*";
        }

        if (id.EndsWith(']') && id.LastIndexOf('[') is int bracket and > 0)
        {
            string commas = new(',', id.AsSpan(bracket).Count(','));
            return $"{Parameter(id[..bracket], ofType, ofMethod)}[{commas}]";
        }

        if (id.StartsWith('`'))
        {
            bool method = id.StartsWith("``", StringComparison.Ordinal);
            string[] names = method ? ofMethod : ofType;
            return int.TryParse(id.TrimStart('`'), out int index) && index < names.Length ? names[index] : "T";
        }

        if (s_keywords.TryGetValue(id, out string? keyword))
        {
            return keyword;
        }

        int brace = id.IndexOf('{');
        if (brace < 0)
        {
            string name = ShortType(id);
            return name;
        }

        int close = ClosingBrace(id, brace);
        string[] arguments = [.. SplitArguments(id[(brace + 1)..close]).Select(argument => Parameter(argument, ofType, ofMethod))];
        string plain = id[..brace];
        if (plain == "System.Nullable" && arguments.Length == 1)
        {
            return arguments[0] + "?";
        }

        string rest = close + 1 < id.Length ? StripArity(id[(close + 1)..]) : string.Empty;
        return $"{plain[(plain.LastIndexOf('.') + 1)..]}<{string.Join(", ", arguments)}>{rest}";
    }

    /// <summary>Splits at the commas that stand in no brackets.</summary>
    public static List<string> SplitArguments(string list)
    {
        List<string> parts = [];
        int depth = 0, start = 0;
        for (int i = 0; i < list.Length; i++)
        {
            depth += list[i] is '{' or '[' or '(' ? 1 : list[i] is '}' or ']' or ')' ? -1 : 0;
            if (list[i] == ',' && depth == 0)
            {
                parts.Add(list[start..i].Trim());
                start = i + 1;
            }
        }

        if (start < list.Length)
        {
            parts.Add(list[start..].Trim());
        }

        return parts;
    }

    /// <summary>A name without what follows its first back-tick.</summary>
    public static string StripArity(string name) => name.IndexOf('`') is int tick and >= 0 ? name[..tick] : name;

    private static int NextDot(string type, int from) => type.IndexOf('.', from) is int dot and >= 0 ? dot : type.Length;

    private static int ClosingBrace(string id, int open)
    {
        int depth = 0;
        for (int i = open; i < id.Length; i++)
        {
            depth += id[i] == '{' ? 1 : id[i] == '}' ? -1 : 0;
            if (depth == 0)
            {
                return i;
            }
        }

        return id.Length - 1;
    }

    private string[] OwnParameters(string type)
    {
        int tick = type.LastIndexOf('`');
        int arity = tick > type.LastIndexOf('.') && int.TryParse(type.AsSpan(tick + 1), out int number) ? number : 0;
        if (arity == 0)
        {
            return [];
        }

        return typeParameters.TryGetValue(type, out string[]? names) && names.Length == arity
            ? names
            : arity == 1 ? ["T"] : [.. Enumerable.Range(1, arity).Select(i => $"T{i}")];
    }
}
