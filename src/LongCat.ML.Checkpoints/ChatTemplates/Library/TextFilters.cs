using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Filters that give a text.</summary>
internal static class TextFilters
{
    /// <summary>The text that a filter without arguments works on: any value is taken as its text.</summary>
    public static string Subject(TemplateRun run, object? value, TemplateArguments arguments, string filter)
    {
        arguments.Bind(filter, 0);
        string text = TemplateText.Of(run, value);
        run.Charge(text.Length);
        return text;
    }

    /// <summary>JSON as transformers' own <c>tojson</c> writes it: without escapes for HTML, other characters as they are.</summary>
    public static object? ToJson(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys");
        string? indent = bound[1] switch
        {
            string text => text,
            long width => Spaces(run, width),
            bool flag => flag ? " " : string.Empty,
            null => null,
            _ => ReferenceEquals(bound[1], TemplateArguments.Missing) ? null : throw new TemplateFault($"`tojson` expects a number or text as `indent`, got {TemplateText.TypeOf(bound[1])}"),
        };
        (string items, string keys) = bound[2] is TemplateList { Items: [string between, string behind] } ? (between, behind) : (indent is null ? ", " : ",", ": ");
        if (bound[2] is not (null or TemplateList { Items: [string, string] }) && !ReferenceEquals(bound[2], TemplateArguments.Missing))
        {
            throw new TemplateFault("`tojson` expects two texts as `separators`");
        }

        StringBuilder json = new();
        TemplateJson.Write(run, json, value, new TemplateJson.Style(TemplateArguments.Flag(bound[0], false), indent, items, keys, TemplateArguments.Flag(bound[3], false)));
        return json.ToString();
    }

    public static object? Trim(TemplateRun run, object? value, TemplateArguments arguments)
    {
        string? characters = TemplateArguments.TextOrNull("trim", "chars", arguments.Bind("trim", 0, "chars")[0]);
        return CodePoints.Trim(Subject(run, value, TemplateArguments.None, "trim"), characters, left: true, right: true);
    }

    /// <summary>Words start after white space, hyphens and opening brackets.</summary>
    public static object? Title(TemplateRun run, object? value, TemplateArguments arguments)
    {
        string text = Subject(run, value, arguments, "title");
        StringBuilder result = new(text.Length);
        bool start = true;
        foreach (char c in text)
        {
            bool divides = CodePoints.IsSpace(c) || c is '-' or '(' or '{' or '[' or '<';
            result.Append(start && !divides ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c));
            start = divides;
        }

        return result.ToString();
    }

    public static object? Replace(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("replace", 2, "old", "new", "count");
        long count = bound[2] is null ? -1 : TemplateArguments.Whole("replace", "count", bound[2], -1);
        return TextMethods.Replace(run, TemplateText.Of(run, value), TemplateText.Of(run, bound[0]), TemplateText.Of(run, bound[1]), count);
    }

    public static object? Indent(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("indent", 0, "width", "first", "blank");
        string indent = bound[0] as string ?? Spaces(run, TemplateArguments.Whole("indent", "width", bound[0], 4));
        bool first = TemplateArguments.Flag(bound[1], false), blank = TemplateArguments.Flag(bound[2], false);
        List<object?> lines = TextMethods.Lines(run, TemplateArguments.Text("indent", "value", value) + "\n", keepEnds: false);
        run.Charge((long)lines.Count * (indent.Length + 1));
        StringBuilder text = new();
        for (int i = 0; i < lines.Count; i++)
        {
            string line = (string)lines[i]!;
            text.Append(i == 0 ? string.Empty : "\n").Append(i == 0 ? (first ? indent : string.Empty) : blank || line.Length > 0 ? indent : string.Empty).Append(line);
        }

        return text.ToString();
    }

    public static object? Center(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object? width = arguments.Bind("center", 0, "width")[0];
        TemplateArguments padding = new([ReferenceEquals(width, TemplateArguments.Missing) ? 80L : width], []);
        return TextMethods.Find(TemplateText.Of(run, value), "center")!.Call(run, padding);
    }

    public static object? Truncate(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("truncate", 0, "length", "killwords", "end", "leeway");
        string text = TemplateText.Of(run, value), end = TemplateArguments.Text("truncate", "end", bound[2], "...");
        long length = TemplateArguments.Whole("truncate", "length", bound[0], 255);
        long leeway = bound[3] is null ? 5 : TemplateArguments.Whole("truncate", "leeway", bound[3], 5);
        int ending = CodePoints.Count(end);
        if (length < ending)
        {
            throw new TemplateFault($"`truncate` expects a length of at least {ending}, got {length}");
        }

        run.Charge(text.Length);
        if (CodePoints.Count(text) <= Math.Min(length, int.MaxValue) + Math.Clamp(leeway, 0, int.MaxValue))
        {
            return text;
        }

        string cut = CodePoints.Slice(text, 0, (int)(length - ending));
        int space = TemplateArguments.Flag(bound[1], false) ? -1 : cut.LastIndexOf(' ');
        return (space < 0 ? cut : cut[..space]) + end;
    }

    public static object? Format(TemplateRun run, object? value, TemplateArguments arguments)
    {
        if (arguments.Named.Count == 0)
        {
            return TemplateFormat.Percent(run, TemplateText.Of(run, value), new TemplateList(arguments.Positional, isTuple: true));
        }

        TemplateMap named = new();
        foreach ((string name, object? item) in arguments.Named)
        {
            named.Set(name, item);
        }

        return TemplateFormat.Percent(run, TemplateText.Of(run, value), named);
    }

    public static object? Escape(TemplateRun run, object? value, TemplateArguments arguments)
    {
        string text = Subject(run, value, arguments, "escape");
        run.Charge(5L * text.Length);
        return text.Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal).Replace(">", "&gt;", StringComparison.Ordinal)
            .Replace("'", "&#39;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal);
    }

    public static object? WordCount(TemplateRun run, object? value, TemplateArguments arguments)
    {
        string text = Subject(run, value, arguments, "wordcount");
        long words = 0;
        bool inWord = false;
        foreach (char c in text)
        {
            bool word = char.IsLetterOrDigit(c) || c == '_';
            words += word && !inWord ? 1 : 0;
            inWord = word;
        }

        return words;
    }

    private static string Spaces(TemplateRun run, long width)
    {
        run.Charge(Math.Max(width, 0));
        return new string(' ', (int)Math.Max(width, 0));
    }
}
