using System.Collections;
using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>Values from JSON and .NET objects, and back to JSON as Python's <c>json.dumps</c> writes it.</summary>
internal static class TemplateJson
{
    private const int Deepest = 128;

    /// <summary>The value that a template sees for a JSON element or a .NET object.</summary>
    /// <exception cref="ArgumentException">The type has no counterpart, or the value is nested too deeply.</exception>
    public static object? Value(object? source, int depth = 0)
    {
        if (depth > Deepest)
        {
            throw new ArgumentException($"a value for a chat template may be nested {Deepest} deep, got more");
        }

        switch (source)
        {
            case null or bool or string or long or double or BigInteger:
                return source;
            case byte or sbyte or short or ushort or int or uint:
                return Convert.ToInt64(source, CultureInfo.InvariantCulture);
            case float or decimal:
                return Convert.ToDouble(source, CultureInfo.InvariantCulture);
            case ulong large:
                return large <= long.MaxValue ? (long)large : new BigInteger(large);
            case JsonElement element:
                return Element(element, depth);
            case JsonDocument document:
                return Element(document.RootElement, depth);
            case IDictionary<string, object?> dictionary:
                return Map(dictionary.Select(entry => (entry.Key, Value(entry.Value, depth + 1))));
            case IReadOnlyDictionary<string, object?> dictionary:
                return Map(dictionary.Select(entry => (entry.Key, Value(entry.Value, depth + 1))));
            case IEnumerable<KeyValuePair<string, string>> dictionary:
                return Map(dictionary.Select(entry => (entry.Key, (object?)entry.Value)));
            case IEnumerable<KeyValuePair<string, JsonElement>> dictionary:
                return Map(dictionary.Select(entry => (entry.Key, Element(entry.Value, depth + 1))));
            case IEnumerable list and not IDictionary:
                return new TemplateList([.. list.Cast<object?>().Select(item => Value(item, depth + 1))]);
            default:
                throw new ArgumentException($"a chat template cannot see a value of type {source.GetType()}; expected text, numbers, truth values, JSON, lists and dictionaries of these");
        }
    }

    /// <summary>Writes a value as JSON.</summary>
    /// <param name="run">Charged for what is written.</param>
    /// <param name="builder">Receives the text.</param>
    /// <param name="value">The value.</param>
    /// <param name="style">How to write it.</param>
    /// <param name="depth">How deep the value lies.</param>
    public static void Write(TemplateRun run, StringBuilder builder, object? value, Style style, int depth = 0)
    {
        if (depth > Deepest)
        {
            throw new TemplateFault("the value for `tojson` is nested too deeply");
        }

        run.Charge(64);
        switch (value)
        {
            case string text:
                run.Charge(text.Length);
                WriteText(builder, text, style.Ascii);
                break;
            case TemplateList list:
                WriteItems(run, builder, '[', ']', list.Items.Count, style, depth, list.Items.Select(item => (Action)(() => Write(run, builder, item, style, depth + 1))));
                break;
            case TemplateMap map:
                IEnumerable<KeyValuePair<object, object?>> entries = style.Sorted ? OrderFilters.ByKey(run, map) : map.Entries;
                WriteItems(run, builder, '{', '}', map.Count, style, depth, entries.Select(entry => (Action)(() =>
                {
                    WriteText(builder, entry.Key as string ?? Scalar(entry.Key), style.Ascii);
                    builder.Append(style.KeySeparator);
                    Write(run, builder, entry.Value, style, depth + 1);
                })));
                break;
            case TemplateUndefined undefined:
                throw undefined.Fault();
            default:
                builder.Append(Scalar(value));
                break;
        }
    }

    private static string Scalar(object? value) => value switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        long or BigInteger => ((IFormattable)value).ToString(null, CultureInfo.InvariantCulture),
        double number => double.IsNaN(number) ? "NaN" : double.IsInfinity(number) ? (number > 0 ? "Infinity" : "-Infinity") : TemplateText.Number(number),
        _ => throw new TemplateFault($"`tojson` cannot write {TemplateText.TypeOf(value)}"),
    };

    private static void WriteItems(TemplateRun run, StringBuilder builder, char open, char close, int count, Style style, int depth, IEnumerable<Action> items)
    {
        builder.Append(open);
        bool first = true;
        foreach (Action item in items)
        {
            builder.Append(first ? string.Empty : style.ItemSeparator);
            NewLine(depth + 1);
            item();
            first = false;
        }

        if (count > 0)
        {
            NewLine(depth);
        }

        builder.Append(close);

        void NewLine(int levels)
        {
            if (style.Indent is { } indent)
            {
                run.Charge((long)indent.Length * levels);
                builder.Append('\n').Insert(builder.Length, indent, levels);
            }
        }
    }

    private static void WriteText(StringBuilder builder, string text, bool ascii)
    {
        builder.Append('"');
        foreach (char c in text)
        {
            switch (c)
            {
                case '"' or '\\':
                    builder.Append('\\').Append(c);
                    break;
                case '\n':
                    builder.Append("\\n");
                    break;
                case '\r':
                    builder.Append("\\r");
                    break;
                case '\t':
                    builder.Append("\\t");
                    break;
                case '\b':
                    builder.Append("\\b");
                    break;
                case '\f':
                    builder.Append("\\f");
                    break;
                default:
                    if (c < ' ' || (ascii && c >= '\x7F'))
                    {
                        // Python's ASCII form leaves U+007F as it is.
                        builder.Append(c == '\x7F' ? "\x7F" : "\\u" + ((int)c).ToString("x4", CultureInfo.InvariantCulture));
                    }
                    else
                    {
                        builder.Append(c);
                    }

                    break;
            }
        }

        builder.Append('"');
    }

    private static object? Element(JsonElement element, int depth)
    {
        if (depth > Deepest)
        {
            throw new ArgumentException($"a value for a chat template may be nested {Deepest} deep, got more");
        }

        return element.ValueKind switch
        {
            JsonValueKind.String => element.GetString(),
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            JsonValueKind.Number => Number(element.GetRawText()),
            JsonValueKind.Array => new TemplateList([.. element.EnumerateArray().Select(item => Element(item, depth + 1))]),
            JsonValueKind.Object => Map(element.EnumerateObject().Select(member => (member.Name, Element(member.Value, depth + 1)))),
            _ => null,
        };
    }

    /// <summary>A whole number stays one, whatever its size.</summary>
    private static object Number(string text) =>
        text.AsSpan().IndexOfAny('.', 'e', 'E') >= 0 ? (object)double.Parse(text, CultureInfo.InvariantCulture)
        : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) ? (object)whole
        : text.Length <= 4300 ? BigInteger.Parse(text, CultureInfo.InvariantCulture)
        : throw new ArgumentException($"a whole number may have 4300 digits, got {text.Length}");

    private static TemplateMap Map(IEnumerable<(string Key, object? Value)> entries)
    {
        TemplateMap map = new();
        foreach ((string key, object? value) in entries)
        {
            map.Set(key, value);
        }

        return map;
    }

    /// <summary>How JSON is written.</summary>
    /// <param name="Ascii">Whether other characters are escaped.</param>
    /// <param name="Indent">What one level is indented by; null writes one line.</param>
    /// <param name="ItemSeparator">What stands between items.</param>
    /// <param name="KeySeparator">What stands between a key and its value.</param>
    /// <param name="Sorted">Whether keys are sorted.</param>
    internal sealed record Style(bool Ascii, string? Indent, string ItemSeparator, string KeySeparator, bool Sorted);
}
