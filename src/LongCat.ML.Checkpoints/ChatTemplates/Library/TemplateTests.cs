using System.Numerics;

namespace LongCat.ML.Checkpoints;

/// <summary>A test: <c>value is name(arguments)</c>.</summary>
internal delegate bool TemplateTest(TemplateRun run, object? value, TemplateArguments arguments);

/// <summary>The tests by name.</summary>
internal static class TemplateTests
{
    private static readonly Dictionary<string, TemplateTest> s_tests = new(StringComparer.Ordinal)
    {
        ["defined"] = Plain(value => value is not TemplateUndefined),
        ["undefined"] = Plain(value => value is TemplateUndefined),
        ["none"] = Plain(value => value is null),
        ["boolean"] = Plain(value => value is bool),
        ["true"] = Plain(value => value is true),
        ["false"] = Plain(value => value is false),
        ["integer"] = Plain(value => value is long or BigInteger),
        ["float"] = Plain(value => value is double),
        ["number"] = Plain(TemplateOrder.IsNumber),
        ["string"] = Plain(value => value is string),
        ["mapping"] = Plain(value => value is TemplateMap),
        ["sequence"] = Plain(value => value is string or TemplateList or TemplateMap or TemplateUndefined),
        ["iterable"] = Plain(value => value is string or TemplateList or TemplateMap or TemplateIterator or TemplateUndefined or TemplateLoop),
        ["callable"] = Plain(value => value is TemplateFunction or TemplateLoop),
        ["upper"] = Plain(value => value is string text && IsUpper(text)),
        ["lower"] = Plain(value => value is string text && IsLower(text)),
        ["odd"] = (_, value, _) => Remainder(value, 2) == 1,
        ["even"] = (_, value, _) => Remainder(value, 2) == 0,
        ["divisibleby"] = (_, value, arguments) => Remainder(value, TemplateArguments.Whole("divisibleby", "num", arguments.Bind("divisibleby", 1, "num")[0])) == 0,
        ["in"] = (run, value, arguments) => TemplateArithmetic.Contains(run, arguments.Bind("in", 1, "seq")[0], value),
        ["sameas"] = (_, value, arguments) => Same(value, arguments.Bind("sameas", 1, "other")[0]),
        ["filter"] = Plain(value => value is string name && TemplateFilters.Find(name) is not null),
        ["test"] = Plain(value => value is string name && Find(name) is not null),
        ["eq"] = Compare("=="),
        ["equalto"] = Compare("=="),
        ["=="] = Compare("=="),
        ["ne"] = Compare("!="),
        ["!="] = Compare("!="),
        ["lt"] = Compare("<"),
        ["lessthan"] = Compare("<"),
        ["<"] = Compare("<"),
        ["le"] = Compare("<="),
        ["<="] = Compare("<="),
        ["gt"] = Compare(">"),
        ["greaterthan"] = Compare(">"),
        [">"] = Compare(">"),
        ["ge"] = Compare(">="),
        [">="] = Compare(">="),
    };

    public static TemplateTest? Find(string name) => s_tests.GetValueOrDefault(name);

    /// <summary>Whether there are letters with a case and all of them are capitals.</summary>
    public static bool IsUpper(string text) => text.Any(char.IsUpper) && !text.Any(char.IsLower);

    /// <summary>Whether there are letters with a case and none of them is a capital.</summary>
    public static bool IsLower(string text) => text.Any(char.IsLower) && !text.Any(char.IsUpper);

    private static TemplateTest Plain(Func<object?, bool> holds) => (_, value, arguments) =>
    {
        arguments.Bind("the test", 0);
        return holds(value);
    };

    private static TemplateTest Compare(string symbol) => (run, value, arguments) => TemplateArithmetic.Holds(run, symbol, value, arguments.Bind(symbol, 1, "other")[0]);

    private static long Remainder(object? value, long divisor)
    {
        long whole = TemplateArguments.Whole("the test", "value", value);
        if (divisor == 0)
        {
            throw new TemplateFault("division by zero");
        }

        return divisor == -1 ? 0 : Math.Abs(whole % divisor);
    }

    private static bool Same(object? left, object? right) => left switch
    {
        null => right is null,
        bool flag => right is bool other && flag == other,
        long whole => right is long other && whole == other,
        string text => right is string other && text == other,
        _ => ReferenceEquals(left, right),
    };
}
