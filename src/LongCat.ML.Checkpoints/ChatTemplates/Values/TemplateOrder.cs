using System.Numerics;

namespace LongCat.ML.Checkpoints;

/// <summary>Truth, equality and order of values, as Python has them.</summary>
internal static class TemplateOrder
{
    /// <summary>Deeper values are compared no further: nothing that is read from JSON or written in a template comes near.</summary>
    private const int DeepestComparison = 128;

    public static bool IsTrue(object? value) => value switch
    {
        null or TemplateUndefined => false,
        bool flag => flag,
        long whole => whole != 0,
        double number => number != 0,
        string text => text.Length > 0,
        TemplateList list => list.Items.Count > 0,
        TemplateMap map => map.Count > 0,
        _ => true,
    };

    public static bool AreEqual(object? left, object? right, int depth)
    {
        if (depth > DeepestComparison)
        {
            throw new TemplateFault("the values to compare are nested too deeply");
        }

        switch (left, right)
        {
            case (null, null) or (TemplateUndefined, TemplateUndefined):
                return true;
            case (string a, string b):
                return string.Equals(a, b, StringComparison.Ordinal);
            case (BigInteger a, BigInteger b):
                return a == b;
            case (TemplateList a, TemplateList b):
                return a.IsTuple == b.IsTuple && a.Items.Count == b.Items.Count && a.Items.Zip(b.Items).All(pair => AreEqual(pair.First, pair.Second, depth + 1));
            case (TemplateMap a, TemplateMap b):
                return a.Count == b.Count && a.Entries.All(entry => b.TryGet(entry.Key, out object? value) && AreEqual(entry.Value, value, depth + 1));
            default:
                return IsNumber(left) && IsNumber(right) ? CompareNumbers(left!, right!) == 0 : ReferenceEquals(left, right);
        }
    }

    /// <summary>-1, 0 or 1; 2 where not-a-number is involved and nothing holds.</summary>
    /// <exception cref="TemplateFault">The two have no order.</exception>
    public static int Compare(object? left, object? right, int depth = 0)
    {
        switch (left, right)
        {
            case (TemplateUndefined undefined, _):
                throw undefined.Fault();
            case (_, TemplateUndefined undefined):
                throw undefined.Fault();
            case (string a, string b):
                return CompareTexts(a, b);
            case (TemplateList a, TemplateList b) when a.IsTuple == b.IsTuple && depth < DeepestComparison:
                for (int i = 0; i < a.Items.Count && i < b.Items.Count; i++)
                {
                    if (!AreEqual(a.Items[i], b.Items[i], depth + 1))
                    {
                        return Compare(a.Items[i], b.Items[i], depth + 1);
                    }
                }

                return Math.Sign(a.Items.Count.CompareTo(b.Items.Count));
            default:
                return IsNumber(left) && IsNumber(right)
                    ? CompareNumbers(left!, right!)
                    : throw new TemplateFault($"{TemplateText.TypeOf(left)} and {TemplateText.TypeOf(right)} have no order");
        }
    }

    public static bool IsNumber(object? value) => value is long or double or bool or BigInteger;

    public static double ToDouble(object? number) => number switch
    {
        long whole => whole,
        bool flag => flag ? 1 : 0,
        BigInteger large => (double)large,
        double value => value,
        _ => throw new TemplateFault($"expected a number, got {TemplateText.TypeOf(number)}"),
    };

    private static int CompareNumbers(object left, object right)
    {
        if (left is double || right is double)
        {
            double a = ToDouble(left), b = ToDouble(right);
            return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
        }

        return Math.Sign(Whole(left).CompareTo(Whole(right)));

        static BigInteger Whole(object value) => value switch
        {
            long whole => whole,
            bool flag => flag ? 1 : 0,
            _ => (BigInteger)value,
        };
    }

    /// <summary>By code point: UTF-16 units sort characters above U+FFFF before some below.</summary>
    private static int CompareTexts(string left, string right)
    {
        for (int i = 0; i < left.Length && i < right.Length; i++)
        {
            char a = left[i], b = right[i];
            if (a != b)
            {
                return char.IsSurrogate(a) == char.IsSurrogate(b) ? Math.Sign(a.CompareTo(b)) : char.IsSurrogate(a) ? 1 : -1;
            }
        }

        return Math.Sign(left.Length.CompareTo(right.Length));
    }
}
