using System.Globalization;
using System.Numerics;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Formatted texts: <c>"%s" % value</c> and <c>"{}".format(value)</c>, without widths beyond the few that templates use.</summary>
internal static class TemplateFormat
{
    private const int WidestField = 1000;

    /// <summary>The <c>%</c> operator: conversions s, r, d, i, f and x with flags 0 and -, width and precision.</summary>
    public static string Percent(TemplateRun run, string format, object? values)
    {
        IReadOnlyList<object?> arguments = values is TemplateList { IsTuple: true } tuple ? tuple.Items : [values];
        StringBuilder text = new();
        int used = 0;
        run.Charge(format.Length);
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                text.Append(format[i]);
                continue;
            }

            if (++i < format.Length && format[i] == '%')
            {
                text.Append('%');
                continue;
            }

            object? value = null;
            if (i < format.Length && format[i] == '(')
            {
                int close = format.IndexOf(')', i);
                string key = close < 0 ? throw new TemplateFault("the key of a format does not end") : format[(i + 1)..close];
                value = values is TemplateMap map && map.TryGet(key, out object? found) ? found : throw new TemplateFault($"the format asks for `{CheckpointException.Printable(key)}`, which is not given");
                i = close + 1;
            }
            else
            {
                value = used < arguments.Count ? arguments[used++] : throw new TemplateFault("the format asks for more values than are given");
            }

            bool left = false, zero = false;
            for (; i < format.Length && format[i] is '-' or '0'; i++)
            {
                left |= format[i] == '-';
                zero |= format[i] == '0';
            }

            int width = Number(format, ref i), precision = -1;
            if (i < format.Length && format[i] == '.')
            {
                i++;
                precision = Number(format, ref i);
            }

            string piece = Convert(run, i < format.Length ? format[i] : '\0', value, precision);
            run.Charge(Math.Max(width, piece.Length));
            bool negative = zero && piece.StartsWith('-');
            text.Append(left ? piece.PadRight(width) : !zero ? piece.PadLeft(width) : negative ? "-" + piece[1..].PadLeft(Math.Max(width - 1, 0), '0') : piece.PadLeft(width, '0'));
        }

        return used < arguments.Count && values is not TemplateMap ? throw new TemplateFault("the format does not use all values") : text.ToString();
    }

    /// <summary>The method <c>format</c>: fields <c>{}</c>, <c>{0}</c> and <c>{name}</c>.</summary>
    public static object? Format(TemplateRun run, string format, TemplateArguments arguments)
    {
        StringBuilder text = new();
        int next = 0;
        run.Charge(format.Length);
        for (int i = 0; i < format.Length; i++)
        {
            char c = format[i];
            if (c is not ('{' or '}'))
            {
                text.Append(c);
                continue;
            }

            if (i + 1 < format.Length && format[i + 1] == c)
            {
                text.Append(c);
                i++;
                continue;
            }

            int close = c == '{' ? format.IndexOf('}', i) : -1;
            if (close < 0)
            {
                throw new TemplateFault($"a single `{c}` in a format");
            }

            string field = format[(i + 1)..close];
            object? value = field.Length == 0 ? Positional(next++) : int.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture, out int index) ? Positional(index) : Named(field);
            string piece = TemplateText.Of(run, value);
            run.Charge(piece.Length);
            text.Append(piece);
            i = close;
        }

        return text.ToString();

        object? Positional(int index) => index < arguments.Positional.Count ? arguments.Positional[index] : throw new TemplateFault($"the format asks for value {index}, which is not given");

        object? Named(string field)
        {
            foreach ((string name, object? value) in arguments.Named)
            {
                if (name == field)
                {
                    return value;
                }
            }

            throw new TemplateFault(field.All(character => char.IsLetterOrDigit(character) || character == '_')
                ? $"the format asks for `{CheckpointException.Printable(field)}`, which is not given"
                : $"the format field `{{{CheckpointException.Printable(field)}}}` is not supported; supported: {{}}, {{0}} and {{name}}");
        }
    }

    private static string Convert(TemplateRun run, char conversion, object? value, int precision)
    {
        switch (conversion)
        {
            case 's':
                string text = TemplateText.Of(run, value);
                return precision >= 0 && precision < CodePoints.Count(text) ? CodePoints.Slice(text, 0, precision) : text;
            case 'r':
                StringBuilder builder = new();
                TemplateText.Write(run, builder, value, 0);
                return builder.ToString();
            case 'd' or 'i' or 'x' when value is long or bool or double or BigInteger:
                BigInteger whole = value switch
                {
                    BigInteger large => large,
                    double number => double.IsFinite(number) ? new BigInteger(number) : throw new TemplateFault("the number to format is not finite"),
                    _ => value is bool flag ? (flag ? 1 : 0) : (long)value,
                };
                string digits = BigInteger.Abs(whole).ToString(conversion == 'x' ? "x" : null, CultureInfo.InvariantCulture).TrimStart('0');
                return (whole.Sign < 0 ? "-" : string.Empty) + (digits.Length == 0 ? "0" : digits);
            case 'f' when TemplateOrder.IsNumber(value):
                return TemplateOrder.ToDouble(value).ToString("F" + (precision < 0 ? 6 : precision).ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
            default:
                throw new TemplateFault($"the format conversion `%{conversion}` is not supported for {TemplateText.TypeOf(value)}; supported: s, r, d, i, f, x");
        }
    }

    private static int Number(string format, ref int at)
    {
        int number = 0;
        for (; at < format.Length && char.IsAsciiDigit(format[at]); at++)
        {
            number = (number * 10) + format[at] - '0';
            if (number > WidestField)
            {
                throw new TemplateFault($"a width or precision in a format may be {WidestField}, got more");
            }
        }

        return number;
    }
}
