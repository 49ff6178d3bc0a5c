using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>The methods of a text, as Python's have them.</summary>
internal static class TextMethods
{
    private delegate object? Method(TemplateRun run, string text, TemplateArguments arguments);

    private static readonly Dictionary<string, Method> s_methods = new(StringComparer.Ordinal)
    {
        ["strip"] = (run, text, arguments) => Strip(run, text, arguments, "strip", left: true, right: true),
        ["lstrip"] = (run, text, arguments) => Strip(run, text, arguments, "lstrip", left: true, right: false),
        ["rstrip"] = (run, text, arguments) => Strip(run, text, arguments, "rstrip", left: false, right: true),
        ["upper"] = (run, text, arguments) => Plain(run, text, arguments, "upper", value => value.ToUpperInvariant()),
        ["lower"] = (run, text, arguments) => Plain(run, text, arguments, "lower", value => value.ToLowerInvariant()),
        ["casefold"] = (run, text, arguments) => Plain(run, text, arguments, "casefold", value => value.ToLowerInvariant()),
        ["capitalize"] = (run, text, arguments) => Plain(run, text, arguments, "capitalize", Capitalize),
        ["title"] = (run, text, arguments) => Plain(run, text, arguments, "title", Title),
        ["swapcase"] = (run, text, arguments) => Plain(run, text, arguments, "swapcase", value => string.Concat(value.Select(c => char.IsUpper(c) ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c)))),
        ["isalpha"] = (run, text, arguments) => All(run, text, arguments, "isalpha", Rune.IsLetter),
        ["isdigit"] = (run, text, arguments) => All(run, text, arguments, "isdigit", Rune.IsDigit),
        ["isdecimal"] = (run, text, arguments) => All(run, text, arguments, "isdecimal", Rune.IsDigit),
        ["isnumeric"] = (run, text, arguments) => All(run, text, arguments, "isnumeric", Rune.IsNumber),
        ["isalnum"] = (run, text, arguments) => All(run, text, arguments, "isalnum", rune => Rune.IsLetter(rune) || Rune.IsNumber(rune)),
        ["isspace"] = (run, text, arguments) => All(run, text, arguments, "isspace", rune => rune.IsBmp && CodePoints.IsSpace((char)rune.Value)),
        ["isupper"] = (run, text, arguments) => Plain(run, text, arguments, "isupper", TemplateTests.IsUpper),
        ["islower"] = (run, text, arguments) => Plain(run, text, arguments, "islower", TemplateTests.IsLower),
        ["startswith"] = (run, text, arguments) => Affix(run, text, arguments, "startswith", (value, affix) => value.StartsWith(affix, StringComparison.Ordinal)),
        ["endswith"] = (run, text, arguments) => Affix(run, text, arguments, "endswith", (value, affix) => value.EndsWith(affix, StringComparison.Ordinal)),
        ["removeprefix"] = (run, text, arguments) => Argument(run, text, arguments, "removeprefix") is { } prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
        ["removesuffix"] = (run, text, arguments) => Argument(run, text, arguments, "removesuffix") is { } suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
        ["split"] = (run, text, arguments) => Split(run, text, arguments, "split", fromEnd: false),
        ["rsplit"] = (run, text, arguments) => Split(run, text, arguments, "rsplit", fromEnd: true),
        ["splitlines"] = SplitLines,
        ["partition"] = (run, text, arguments) => Partition(run, text, arguments, "partition", last: false),
        ["rpartition"] = (run, text, arguments) => Partition(run, text, arguments, "rpartition", last: true),
        ["join"] = (run, text, arguments) => Join(run, text, arguments),
        ["replace"] = (run, text, arguments) =>
        {
            object?[] bound = arguments.Bind("replace", 2, "old", "new", "count");
            return Replace(run, text, TemplateArguments.Text("replace", "old", bound[0]), TemplateArguments.Text("replace", "new", bound[1]), TemplateArguments.Whole("replace", "count", bound[2], -1));
        },
        ["find"] = (run, text, arguments) => Find(run, text, arguments, "find", last: false, must: false),
        ["rfind"] = (run, text, arguments) => Find(run, text, arguments, "rfind", last: true, must: false),
        ["index"] = (run, text, arguments) => Find(run, text, arguments, "index", last: false, must: true),
        ["rindex"] = (run, text, arguments) => Find(run, text, arguments, "rindex", last: true, must: true),
        ["count"] = (run, text, arguments) =>
        {
            string part = Argument(run, text, arguments, "count");
            return part.Length == 0 ? CodePoints.Count(text) + 1L : text.AsSpan().Count(part);
        },
        ["center"] = (run, text, arguments) => Pad(run, text, arguments, "center"),
        ["ljust"] = (run, text, arguments) => Pad(run, text, arguments, "ljust"),
        ["rjust"] = (run, text, arguments) => Pad(run, text, arguments, "rjust"),
        ["zfill"] = ZeroFill,
        ["format"] = TemplateFormat.Format,
    };

    public static TemplateFunction? Find(string text, string name) =>
        s_methods.TryGetValue(name, out Method? method) ? new TemplateFunction(name, (run, arguments) => method(run, text, arguments)) : null;

    public static string Capitalize(string text)
    {
        int first = text.Length > 1 && char.IsSurrogatePair(text[0], text[1]) ? 2 : Math.Min(1, text.Length);
        return text[..first].ToUpperInvariant() + text[first..].ToLowerInvariant();
    }

    /// <summary>Replaces the first occurrences; an empty text to replace lies before every character and at the end.</summary>
    public static string Replace(TemplateRun run, string text, string old, string replacement, long count)
    {
        count = count < 0 ? long.MaxValue : count;
        run.Charge(text.Length);
        long found = Math.Min(count, old.Length == 0 ? CodePoints.Count(text) + 1L : text.AsSpan().Count(old));
        run.Charge((long)Math.Min((double)found * replacement.Length, long.MaxValue / 4));
        StringBuilder result = new();
        int at = 0;
        for (; found > 0; found--)
        {
            int next = old.Length > 0 ? text.IndexOf(old, at, StringComparison.Ordinal) : at;
            result.Append(text, at, next - at).Append(replacement);
            at = next + old.Length;
            if (old.Length == 0 && at < text.Length)
            {
                int units = at + 1 < text.Length && char.IsSurrogatePair(text[at], text[at + 1]) ? 2 : 1;
                result.Append(text, at, units);
                at += units;
            }
        }

        return result.Append(text, at, text.Length - at).ToString();
    }

    /// <summary>The lines of a text without their ends, at the places where Python ends a line.</summary>
    public static List<object?> Lines(TemplateRun run, string text, bool keepEnds)
    {
        run.Charge(2L * text.Length);
        List<object?> lines = [];
        int start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is '\n' or '\r' or '\v' or '\f' or (>= '\x1C' and <= '\x1E') or '\x85' or '\u2028' or '\u2029')
            {
                int end = i;
                i += text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n' ? 1 : 0;
                lines.Add(text[start..(keepEnds ? i + 1 : end)]);
                start = i + 1;
            }
        }

        if (start < text.Length)
        {
            lines.Add(text[start..]);
        }

        return lines;
    }

    private static string Argument(TemplateRun run, string text, TemplateArguments arguments, string name)
    {
        run.Charge(text.Length);
        return TemplateArguments.Text(name, "value", arguments.Bind(name, 1, "value")[0]);
    }

    private static object Plain<T>(TemplateRun run, string text, TemplateArguments arguments, string name, Func<string, T> function)
        where T : notnull
    {
        arguments.Bind(name, 0);
        run.Charge(text.Length);
        return function(text);
    }

    private static object All(TemplateRun run, string text, TemplateArguments arguments, string name, Func<Rune, bool> holds) =>
        Plain(run, text, arguments, name, value => value.Length > 0 && value.EnumerateRunes().All(holds));

    private static string Strip(TemplateRun run, string text, TemplateArguments arguments, string name, bool left, bool right)
    {
        run.Charge(text.Length);
        return CodePoints.Trim(text, TemplateArguments.TextOrNull(name, "chars", arguments.Bind(name, 0, "chars")[0]), left, right);
    }

    private static object Affix(TemplateRun run, string text, TemplateArguments arguments, string name, Func<string, string, bool> holds)
    {
        object? affix = arguments.Bind(name, 1, "value")[0];
        return affix is TemplateList { IsTuple: true } several
            ? several.Items.Any(item => holds(text, TemplateArguments.Text(name, "value", item)))
            : holds(text, TemplateArguments.Text(name, "value", affix));
    }

    private static TemplateList Split(TemplateRun run, string text, TemplateArguments arguments, string name, bool fromEnd)
    {
        object?[] bound = arguments.Bind(name, 0, "sep", "maxsplit");
        string? separator = TemplateArguments.TextOrNull(name, "sep", bound[0]);
        long most = TemplateArguments.Whole(name, "maxsplit", bound[1], -1);
        most = most < 0 ? long.MaxValue : most;
        run.Charge(4L * text.Length);
        if (separator is { Length: 0 })
        {
            throw new TemplateFault($"`{name}` cannot split at an empty text");
        }

        List<object?> parts = separator is null ? Words(text, most, fromEnd) : fromEnd ? SplitEnd(text, separator, most) : SplitStart(text, separator, most);
        run.Charge(16L * parts.Count);
        return new TemplateList(parts);
    }

    private static List<object?> SplitStart(string text, string separator, long most)
    {
        List<object?> parts = [];
        int start = 0;
        for (int next; parts.Count < most && (next = text.IndexOf(separator, start, StringComparison.Ordinal)) >= 0; start = next + separator.Length)
        {
            parts.Add(text[start..next]);
        }

        parts.Add(text[start..]);
        return parts;
    }

    private static List<object?> SplitEnd(string text, string separator, long most)
    {
        List<object?> parts = [];
        int end = text.Length;
        for (int next; parts.Count < most && (next = text.AsSpan(0, end).LastIndexOf(separator, StringComparison.Ordinal)) >= 0; end = next)
        {
            parts.Add(text[(next + separator.Length)..end]);
        }

        parts.Add(text[..end]);
        parts.Reverse();
        return parts;
    }

    private static List<object?> Words(string text, long most, bool fromEnd)
    {
        List<object?> words = [];
        int start = 0, end = text.Length;
        while (true)
        {
            while (start < end && CodePoints.IsSpace(fromEnd ? text[end - 1] : text[start]))
            {
                start += fromEnd ? 0 : 1;
                end -= fromEnd ? 1 : 0;
            }

            if (start == end)
            {
                break;
            }

            if (words.Count >= most)
            {
                words.Add(text[start..end]);
                break;
            }

            int from = start, to = end;
            while (start < end && !CodePoints.IsSpace(fromEnd ? text[end - 1] : text[start]))
            {
                start += fromEnd ? 0 : 1;
                end -= fromEnd ? 1 : 0;
            }

            words.Add(fromEnd ? text[end..to] : text[from..start]);
        }

        if (fromEnd)
        {
            words.Reverse();
        }

        return words;
    }

    private static object? SplitLines(TemplateRun run, string text, TemplateArguments arguments) =>
        new TemplateList(Lines(run, text, TemplateArguments.Flag(arguments.Bind("splitlines", 0, "keepends")[0], false)));

    private static TemplateList Partition(TemplateRun run, string text, TemplateArguments arguments, string name, bool last)
    {
        string separator = Argument(run, text, arguments, name);
        if (separator.Length == 0)
        {
            throw new TemplateFault($"`{name}` cannot split at an empty text");
        }

        int at = last ? text.LastIndexOf(separator, StringComparison.Ordinal) : text.IndexOf(separator, StringComparison.Ordinal);
        object?[] parts = at >= 0 ? [text[..at], separator, text[(at + separator.Length)..]] : last ? [string.Empty, string.Empty, text] : [text, string.Empty, string.Empty];
        return new TemplateList(parts, isTuple: true);
    }

    private static string Join(TemplateRun run, string separator, TemplateArguments arguments)
    {
        IReadOnlyList<object?> items = TemplateMembers.Iterate(run, arguments.Bind("join", 1, "items")[0]);
        StringBuilder text = new();
        for (int i = 0; i < items.Count; i++)
        {
            string item = TemplateArguments.Text("join", "items", items[i]);
            run.Charge(separator.Length + (long)item.Length);
            text.Append(i == 0 ? string.Empty : separator).Append(item);
        }

        return text.ToString();
    }

    private static object Find(TemplateRun run, string text, TemplateArguments arguments, string name, bool last, bool must)
    {
        object?[] bound = arguments.Bind(name, 1, "value", "start");
        string part = TemplateArguments.Text(name, "value", bound[0]);
        run.Charge(text.Length);
        int length = CodePoints.Count(text);
        long start = TemplateArguments.Whole(name, "start", bound[1], 0);
        start = Math.Clamp(start < 0 ? Math.Max(start, -length) + length : start, 0, length);
        string rest = start == 0 ? text : CodePoints.Slice(text, (int)start, length - (int)start);
        int at = last ? rest.LastIndexOf(part, StringComparison.Ordinal) : rest.IndexOf(part, StringComparison.Ordinal);
        return at >= 0 ? start + CodePoints.Count(rest[..at]) : must ? throw new TemplateFault($"`{name}` did not find the text") : -1L;
    }

    private static string Pad(TemplateRun run, string text, TemplateArguments arguments, string name)
    {
        object?[] bound = arguments.Bind(name, 1, "width", "fillchar");
        string fill = TemplateArguments.Text(name, "fillchar", bound[1], " ");
        if (CodePoints.Count(fill) != 1)
        {
            throw new TemplateFault($"`{name}` expects one character to fill with");
        }

        long missing = TemplateArguments.Whole(name, "width", bound[0]) - CodePoints.Count(text);
        if (missing <= 0)
        {
            return text;
        }

        run.Charge(missing);
        long width = missing + CodePoints.Count(text);
        long left = name == "ljust" ? 0 : name == "rjust" ? missing : (missing / 2) + (missing & width & 1);
        return new StringBuilder().Insert(0, fill, (int)left).Append(text).Insert((int)left * fill.Length + text.Length, fill, (int)(missing - left)).ToString();
    }

    private static object? ZeroFill(TemplateRun run, string text, TemplateArguments arguments)
    {
        long missing = TemplateArguments.Whole("zfill", "width", arguments.Bind("zfill", 1, "width")[0]) - CodePoints.Count(text);
        if (missing <= 0)
        {
            return text;
        }

        run.Charge(missing);
        int sign = text.Length > 0 && text[0] is '+' or '-' ? 1 : 0;
        return text[..sign] + new string('0', (int)missing) + text[sign..];
    }

    private static string Title(string text)
    {
        StringBuilder result = new(text.Length);
        bool inWord = false;
        foreach (char c in text)
        {
            result.Append(inWord ? char.ToLower(c, CultureInfo.InvariantCulture) : char.ToUpper(c, CultureInfo.InvariantCulture));
            inWord = char.IsLetter(c);
        }

        return result.ToString();
    }
}
