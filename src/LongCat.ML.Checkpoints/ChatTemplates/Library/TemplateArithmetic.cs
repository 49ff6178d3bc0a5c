using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>The operators on two values.</summary>
internal static class TemplateArithmetic
{
    public static object? Apply(TemplateRun run, string symbol, object? left, object? right)
    {
        if (left is TemplateUndefined undefined || (undefined = (right as TemplateUndefined)!) is not null)
        {
            throw undefined.Fault();
        }

        switch (symbol, left, right)
        {
            case ("+", string a, string b):
                run.Charge(a.Length + (long)b.Length);
                return a + b;
            case ("+", TemplateList a, TemplateList b) when a.IsTuple == b.IsTuple:
                run.Charge(4 * (a.Items.Count + (long)b.Items.Count));
                return new TemplateList([.. a.Items, .. b.Items], a.IsTuple);
            case ("*", string text, long or bool):
                return Repeat(run, text, AsWhole(right));
            case ("*", long or bool, string text):
                return Repeat(run, text, AsWhole(left));
            case ("*", TemplateList list, long or bool):
                return Repeat(run, list, AsWhole(right));
            case ("*", long or bool, TemplateList list):
                return Repeat(run, list, AsWhole(left));
            case ("%", string format, _):
                return TemplateFormat.Percent(run, format, right);
        }

        if (left is long or bool && right is long or bool)
        {
            return Whole(symbol, AsWhole(left), AsWhole(right));
        }

        return left is long or bool or double && right is long or bool or double
            ? Real(symbol, TemplateOrder.ToDouble(left), TemplateOrder.ToDouble(right))
            : throw new TemplateFault($"`{symbol}` does not go with {TemplateText.TypeOf(left)} and {TemplateText.TypeOf(right)}");
    }

    public static bool Holds(TemplateRun run, string symbol, object? left, object? right) => symbol switch
    {
        "==" => TemplateOrder.AreEqual(left, right, 0),
        "!=" => !TemplateOrder.AreEqual(left, right, 0),
        "<" => TemplateOrder.Compare(left, right) == -1,
        "<=" => TemplateOrder.Compare(left, right) is -1 or 0,
        ">" => TemplateOrder.Compare(left, right) == 1,
        ">=" => TemplateOrder.Compare(left, right) is 0 or 1,
        "in" => Contains(run, right, left),
        _ => !Contains(run, right, left),
    };

    public static bool Contains(TemplateRun run, object? container, object? item)
    {
        switch (container)
        {
            case string text:
                run.Charge(text.Length / 8);
                return item is string part
                    ? text.Contains(part, StringComparison.Ordinal)
                    : throw (item is TemplateUndefined undefined ? undefined.Fault() : new TemplateFault($"only a text can be in a text, got {TemplateText.TypeOf(item)}"));
            case TemplateMap map:
                return map.TryGet(item, out _);
            case null or bool or long or double:
                throw new TemplateFault($"nothing can be in {TemplateText.TypeOf(container)}");
            default:
                IReadOnlyList<object?> items = TemplateMembers.Iterate(run, container);
                run.Charge(items.Count);
                return items.Any(other => TemplateOrder.AreEqual(other, item, 0));
        }
    }

    private static long AsWhole(object? value) => value is bool flag ? (flag ? 1 : 0) : (long)value!;

    private static string Repeat(TemplateRun run, string text, long count)
    {
        if (count <= 0 || text.Length == 0)
        {
            return string.Empty;
        }

        run.Charge(checked((long)Math.Min((double)text.Length * count, long.MaxValue / 4)));
        return new StringBuilder().Insert(0, text, (int)count).ToString();
    }

    private static TemplateList Repeat(TemplateRun run, TemplateList list, long count)
    {
        if (count <= 0 || list.Items.Count == 0)
        {
            return new TemplateList([], list.IsTuple);
        }

        run.Charge((long)Math.Min(4.0 * list.Items.Count * count, long.MaxValue / 4));
        return new TemplateList([.. Enumerable.Repeat(list.Items, (int)count).SelectMany(items => items)], list.IsTuple);
    }

    private static object Whole(string symbol, long a, long b)
    {
        try
        {
            checked
            {
                switch (symbol)
                {
                    case "+":
                        return a + b;
                    case "-":
                        return a - b;
                    case "*":
                        return a * b;
                    case "//" or "%":
                        if (b == 0)
                        {
                            throw new TemplateFault("division by zero");
                        }

                        // -1 apart: the machine's own division overflows at the smallest number.
                        long quotient = b == -1 ? -a : a / b, remainder = b == -1 ? 0 : a % b;
                        bool down = remainder != 0 && remainder < 0 != b < 0;
                        return symbol == "%" ? (down ? remainder + b : remainder) : down ? quotient - 1 : quotient;
                    case "**" when b >= 0:
                        long power = 1;
                        for (long factor = a; b > 0; b >>= 1)
                        {
                            power = (b & 1) == 1 ? power * factor : power;
                            factor = b > 1 ? factor * factor : factor;
                        }

                        return power;
                    default:
                        return Real(symbol, a, b);
                }
            }
        }
        catch (OverflowException)
        {
            throw new TemplateFault($"the result of `{symbol}` does not fit 64 bits");
        }
    }

    private static object Real(string symbol, double a, double b)
    {
        if (b == 0 && symbol is "/" or "//" or "%")
        {
            throw new TemplateFault("division by zero");
        }

        switch (symbol)
        {
            case "+":
                return a + b;
            case "-":
                return a - b;
            case "*":
                return a * b;
            case "/":
                return a / b;
            case "//":
                return Math.Floor(a / b);
            case "%":
                double remainder = a % b;
                return remainder != 0 && remainder < 0 != b < 0 ? remainder + b : remainder;
            default:
                return a == 0 && b < 0 ? throw new TemplateFault("division by zero") : Math.Pow(a, b);
        }
    }
}
