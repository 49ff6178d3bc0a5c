using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

/// <summary>Writes JSON as Python's <c>json.dumps(value, indent=2, sort_keys=True)</c> does, so that a file read and written again keeps its bytes.</summary>
internal static class PythonJson
{
    /// <summary>An object with its keys in order; every other object within it as well.</summary>
    public static byte[] Write(IEnumerable<KeyValuePair<string, JsonNode?>> properties)
    {
        StringBuilder text = new();
        WriteObject(text, properties, 0);

        // Everything above 7 bits was escaped.
        return Encoding.ASCII.GetBytes(text.ToString());
    }

    private static void WriteValue(StringBuilder text, JsonNode? value, int depth)
    {
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case JsonObject map:
                WriteObject(text, map, depth);
                break;
            case JsonArray list:
                WriteList(text, list, depth);
                break;
            default:
                switch (value.GetValueKind())
                {
                    case JsonValueKind.String:
                        WriteText(text, value.GetValue<string>());
                        break;
                    case JsonValueKind.Number:
                        WriteNumber(text, value.ToJsonString());
                        break;
                    default:
                        text.Append(value.ToJsonString());
                        break;
                }

                break;
        }
    }

    private static void WriteObject(StringBuilder text, IEnumerable<KeyValuePair<string, JsonNode?>> properties, int depth)
    {
        KeyValuePair<string, JsonNode?>[] sorted = [.. properties.OrderBy(p => p.Key, StringComparer.Ordinal)];
        if (sorted.Length == 0)
        {
            text.Append("{}");
            return;
        }

        char before = '{';
        foreach ((string key, JsonNode? value) in sorted)
        {
            NewLine(text.Append(before), depth + 1);
            WriteText(text, key);
            text.Append(": ");
            WriteValue(text, value, depth + 1);
            before = ',';
        }

        NewLine(text, depth);
        text.Append('}');
    }

    private static void WriteList(StringBuilder text, JsonArray list, int depth)
    {
        if (list.Count == 0)
        {
            text.Append("[]");
            return;
        }

        char before = '[';
        foreach (JsonNode? item in list)
        {
            NewLine(text.Append(before), depth + 1);
            WriteValue(text, item, depth + 1);
            before = ',';
        }

        NewLine(text, depth);
        text.Append(']');
    }

    private static void NewLine(StringBuilder text, int depth) => text.Append('\n').Append(' ', 2 * depth);

    private static void WriteText(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (char c in value)
        {
            _ = c switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append(@"\\"),
                '\n' => text.Append(@"\n"),
                '\r' => text.Append(@"\r"),
                '\t' => text.Append(@"\t"),
                '\b' => text.Append(@"\b"),
                '\f' => text.Append(@"\f"),
                < ' ' or > '~' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => text.Append(c),
            };
        }

        text.Append('"');
    }

    /// <summary>Whole numbers as they are; others as the shortest digits that give them back, with an exponent below 1e-4 and from 1e16 on.</summary>
    private static void WriteNumber(StringBuilder text, string number)
    {
        if (number.AsSpan().IndexOfAny(".eE") < 0)
        {
            text.Append(number);
            return;
        }

        double value = double.Parse(number, CultureInfo.InvariantCulture);
        if (!double.IsFinite(value))
        {
            // Beyond a double, in a key that nobody reads: there are no other digits to give.
            text.Append(number);
            return;
        }

        string shortest = value.ToString("E16", CultureInfo.InvariantCulture);
        for (int digits = 0; digits < 17; digits++)
        {
            shortest = value.ToString($"E{digits}", CultureInfo.InvariantCulture);
            if (double.Parse(shortest, CultureInfo.InvariantCulture) == value)
            {
                break;
            }
        }

        int e = shortest.IndexOf('E', StringComparison.Ordinal);
        int exponent = int.Parse(shortest.AsSpan(e + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        string sign = shortest[0] == '-' ? "-" : "";
        string significant = shortest[sign.Length..e].Replace(".", "", StringComparison.Ordinal);
        text.Append(sign);
        if (value == 0)
        {
            text.Append("0.0");
        }
        else if (exponent is < -4 or >= 16)
        {
            text.Append(significant[0]);
            if (significant.Length > 1)
            {
                text.Append('.').Append(significant, 1, significant.Length - 1);
            }

            text.Append('e').Append(exponent < 0 ? '-' : '+').Append(CultureInfo.InvariantCulture, $"{Math.Abs(exponent):00}");
        }
        else if (exponent < 0)
        {
            text.Append("0.").Append('0', -exponent - 1).Append(significant);
        }
        else
        {
            string whole = significant.PadRight(exponent + 1, '0');
            text.Append(whole, 0, exponent + 1).Append('.').Append(whole.Length > exponent + 1 ? whole[(exponent + 1)..] : "0");
        }
    }
}
