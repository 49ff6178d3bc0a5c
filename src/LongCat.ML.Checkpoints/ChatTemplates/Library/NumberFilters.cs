using System.Globalization;
using System.Numerics;

namespace LongCat.ML.Checkpoints;

/// <summary>Filters that give a number.</summary>
internal static class NumberFilters
{
    public static object? Absolute(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("abs", 0);
        return value switch
        {
            long.MinValue => throw new TemplateFault("the number does not fit 64 bits"),
            long whole => (object)Math.Abs(whole),
            bool flag => flag ? 1L : 0L,
            BigInteger large => BigInteger.Abs(large),
            double number => Math.Abs(number),
            TemplateUndefined undefined => throw undefined.Fault(),
            _ => throw new TemplateFault($"`abs` expects a number, got {TemplateText.TypeOf(value)}"),
        };
    }

    public static object? Whole(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("int", 0, "default", "base");
        object? fallback = ReferenceEquals(bound[0], TemplateArguments.Missing) ? 0L : bound[0];
        if (TemplateArguments.Whole("int", "base", bound[1], 10) != 10)
        {
            throw new TemplateFault("`int` supports base 10 only");
        }

        switch (value)
        {
            case long or BigInteger:
                return value;
            case bool flag:
                return flag ? 1L : 0L;
            case double number:
                return Truncated(number) ?? fallback;
            case string text:
                run.Charge(text.Length);
                text = text.Trim();
                return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) ? whole
                    : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real) ? Truncated(real) ?? fallback
                    : fallback;
            case TemplateUndefined undefined:
                throw undefined.Fault();
            default:
                return fallback;
        }
    }

    public static object? Real(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object? fallback = arguments.Bind("float", 0, "default")[0];
        fallback = ReferenceEquals(fallback, TemplateArguments.Missing) ? 0.0 : fallback;
        return value switch
        {
            long or bool or BigInteger or double => TemplateOrder.ToDouble(value),
            string text => double.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : fallback,
            TemplateUndefined undefined => throw undefined.Fault(),
            _ => fallback,
        };
    }

    /// <summary>Rounds halves to even, as Python does; the result is a float unless the value is whole and the method common.</summary>
    public static object? Round(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("round", 0, "precision", "method");
        long precision = TemplateArguments.Whole("round", "precision", bound[0], 0);
        string method = TemplateArguments.Text("round", "method", bound[1], "common");
        double number = value is TemplateUndefined undefined ? throw undefined.Fault() : TemplateOrder.ToDouble(value);
        if (precision is < 0 or > 15)
        {
            throw new TemplateFault($"`round` supports precisions from 0 to 15, got {precision}");
        }

        double scale = Math.Pow(10, precision);
        return method switch
        {
            "common" when value is long or bool => value is bool flag ? (flag ? 1L : 0L) : value,
            "common" => Math.Round(number, (int)precision, MidpointRounding.ToEven),
            "ceil" => Math.Ceiling(number * scale) / scale,
            "floor" => Math.Floor(number * scale) / scale,
            _ => throw new TemplateFault("the method of `round` is common, ceil or floor"),
        };
    }

    private static object? Truncated(double number) => !double.IsFinite(number) ? null : Math.Abs(number) < 9.2e18 ? (object)(long)number : new BigInteger(number);
}
