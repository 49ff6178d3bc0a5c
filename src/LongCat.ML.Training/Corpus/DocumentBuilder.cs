using System.Text;
using System.Xml.Linq;

namespace LongCat.ML.Training.Corpus;

/// <summary>Makes one document of one documented member.</summary>
internal static class DocumentBuilder
{
    /// <summary>
    /// The document, or null where there is nothing to learn from: no summary, a notice that the API is internal, a compiler-made type outside any
    /// namespace, or an explicit interface implementation.
    /// </summary>
    public static ApiDocument? Build(string id, XElement member, DocumentationNames names)
    {
        string summary = DocumentationText.Render(member.Element("summary"), names);
        string path = PathOf(id);
        if (summary.Length == 0 || summary.StartsWith("This API supports", StringComparison.Ordinal) || id[0] is not ('T' or 'M' or 'P' or 'F' or 'E'))
        {
            return null;
        }

        string type = path, name = string.Empty;
        if (id[0] != 'T')
        {
            int dot = path.LastIndexOf('.');
            if (dot <= 0)
            {
                return null;
            }

            type = path[..dot];
            name = DocumentationNames.StripArity(path[(dot + 1)..]);
            if (name.Contains('#') && name != "#ctor")
            {
                return null;
            }
        }

        (string space, string outermost) = names.Place(type);
        if (space.Length == 0)
        {
            return null;
        }

        ApiMemberKind kind = KindOf(id, name);
        string signature = Signature(id, kind, type, name, member, names);
        StringBuilder text = new();
        text.Append(signature).Append('\n').Append(summary).Append("\nNamespace: ").Append(space);
        AppendParameters(member, names, text);
        string returns = DocumentationText.Render(member.Element("returns"), names);
        if (returns.Length > 0)
        {
            text.Append("\nReturns: ").Append(returns);
        }

        return new ApiDocument(id, outermost, space, kind, signature, summary, text.ToString());
    }

    /// <summary>An id without its prefix, its parameters and its return type.</summary>
    public static string PathOf(string id)
    {
        int end = id.IndexOfAny(['(', '~']);
        return end < 0 ? id[2..] : id[2..end];
    }

    private static ApiMemberKind KindOf(string id, string name) => id[0] switch
    {
        'T' => ApiMemberKind.Type,
        'F' => ApiMemberKind.Field,
        'E' => ApiMemberKind.Event,
        'P' => id.Contains('(') ? ApiMemberKind.Indexer : ApiMemberKind.Property,
        _ when name == "#ctor" => ApiMemberKind.Constructor,
        _ when name.StartsWith("op_", StringComparison.Ordinal) => ApiMemberKind.Operator,
        _ => ApiMemberKind.Method,
    };

    private static string Signature(string id, ApiMemberKind kind, string type, string name, XElement member, DocumentationNames names)
    {
        string shortType = names.ShortType(type);
        if (kind == ApiMemberKind.Type)
        {
            return shortType + " type";
        }

        string[] ofMethod = [.. member.Elements("typeparam").Select(parameter => (string?)parameter.Attribute("name") ?? "T")];
        string parameters = Parameters(id, type, member, names, ofMethod);
        string generic = kind == ApiMemberKind.Method && ofMethod.Length > 0 ? $"<{string.Join(", ", ofMethod)}>" : string.Empty;
        return kind switch
        {
            ApiMemberKind.Constructor => $"{shortType}({parameters}) constructor",
            ApiMemberKind.Method => $"{shortType}.{name}{generic}({parameters}) method",
            ApiMemberKind.Operator => $"{shortType}.{name[3..]}({parameters}) operator",
            ApiMemberKind.Indexer => $"{shortType}.this[{parameters}] indexer",
            ApiMemberKind.Property => $"{shortType}.{name} property",
            ApiMemberKind.Field => $"{shortType}.{name} field",
            _ => $"{shortType}.{name} event",
        };
    }

    private static string Parameters(string id, string type, XElement member, DocumentationNames names, string[] ofMethod)
    {
        int open = id.IndexOf('(');
        int close = id.LastIndexOf(')');
        if (open < 0 || close < open)
        {
            return string.Empty;
        }

        string[] inScope = names.ParametersInScope(type);
        List<string> types = DocumentationNames.SplitArguments(id[(open + 1)..close]);
        string[] parameterNames = [.. member.Elements("param").Select(parameter => (string?)parameter.Attribute("name") ?? string.Empty)];
        return string.Join(", ", types.Select((parameter, index) =>
        {
            string spelled = names.Parameter(parameter, inScope, ofMethod);
            return parameterNames.Length == types.Count && parameterNames[index].Length > 0 ? $"{spelled} {parameterNames[index]}" : spelled;
        }));
    }

    private static void AppendParameters(XElement member, DocumentationNames names, StringBuilder text)
    {
        bool first = true;
        foreach (XElement parameter in member.Elements("param"))
        {
            string description = DocumentationText.Render(parameter, names);
            if (description.Length == 0 || (string?)parameter.Attribute("name") is not { Length: > 0 } name)
            {
                continue;
            }

            text.Append(first ? "\nParameters:\n" : "\n").Append(name).Append(": ").Append(description);
            first = false;
        }
    }
}
