namespace LongCat.ML.Checkpoints;

/// <summary>Filters that compare items.</summary>
internal static class OrderFilters
{
    /// <summary>Comparisons are paid for as this many characters each.</summary>
    private const int ComparisonCost = 16;

    public static object? Sort(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("sort", 0, "reverse", "case_sensitive", "attribute");
        Func<object?, object?> key = Key(run, bound[1], bound[2]);
        return new TemplateList(Sorted(run, TemplateMembers.Iterate(run, value), key, TemplateArguments.Flag(bound[0], false)));
    }

    public static object? SortEntries(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("dictsort", 0, "case_sensitive", "by", "reverse");
        TemplateMap map = value switch
        {
            TemplateMap entries => entries,
            TemplateUndefined undefined => throw undefined.Fault(),
            _ => throw new TemplateFault($"`dictsort` expects a dictionary, got {TemplateText.TypeOf(value)}"),
        };
        int part = TemplateArguments.Text("dictsort", "by", bound[1], "key") switch
        {
            "key" => 0,
            "value" => 1,
            _ => throw new TemplateFault("`dictsort` sorts by key or value"),
        };
        Func<object?, object?> fold = Key(run, bound[0], TemplateArguments.Missing);
        return new TemplateList(Sorted(run, MapMethods.Items(run, map, TemplateArguments.None).Items, entry => fold(((TemplateList)entry!).Items[part]), TemplateArguments.Flag(bound[2], false)));
    }

    public static object? Unique(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("unique", 0, "case_sensitive", "attribute");
        Func<object?, object?> key = Key(run, bound[0], bound[1]);
        TemplateMap seen = new();
        List<object?> items = [], odd = [];
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            object? folded = key(item);
            run.Charge(ComparisonCost);
            if (folded is string or long or double or bool)
            {
                if (!seen.TryGet(folded, out _))
                {
                    seen.Set(folded, null);
                    items.Add(item);
                }
            }
            else
            {
                run.Charge(odd.Count);
                if (!odd.Any(other => TemplateOrder.AreEqual(other, folded, 0)))
                {
                    odd.Add(folded);
                    items.Add(item);
                }
            }
        }

        return new TemplateIterator(items);
    }

    public static object? Extreme(TemplateRun run, object? value, TemplateArguments arguments, string name, int sign)
    {
        object?[] bound = arguments.Bind(name, 0, "case_sensitive", "attribute");
        Func<object?, object?> key = Key(run, bound[0], bound[1]);
        object? best = new TemplateUndefined($"`{name}` of no items"), bestKey = null;
        bool any = false;
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            run.Charge(ComparisonCost);
            object? folded = key(item);
            if (!any || TemplateOrder.Compare(folded, bestKey) == sign)
            {
                (best, bestKey, any) = (item, folded, true);
            }
        }

        return best;
    }

    public static object? Sum(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("sum", 0, "attribute", "start");
        bool attribute = bound[0] is not null && !ReferenceEquals(bound[0], TemplateArguments.Missing);
        object? total = ReferenceEquals(bound[1], TemplateArguments.Missing) ? 0L : bound[1];
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            run.Charge(ComparisonCost);
            total = TemplateArithmetic.Apply(run, "+", total, attribute ? TemplateMembers.Path(run, item, bound[0]) : item);
        }

        return total;
    }

    /// <summary>The entries of a dictionary in the order of their keys.</summary>
    public static IEnumerable<KeyValuePair<object, object?>> ByKey(TemplateRun run, TemplateMap map) =>
        Sorted(run, [.. map.Keys], key => key, reverse: false).Select(key => KeyValuePair.Create(key!, map.TryGet(key, out object? value) ? value : null));

    private static Func<object?, object?> Key(TemplateRun run, object? caseSensitive, object? attribute)
    {
        bool exact = TemplateArguments.Flag(caseSensitive, false);
        bool path = attribute is not null && !ReferenceEquals(attribute, TemplateArguments.Missing);
        return item =>
        {
            object? value = path ? TemplateMembers.Path(run, item, attribute) : item;
            if (exact || value is not string text)
            {
                return value;
            }

            run.Charge(text.Length);
            return text.ToLowerInvariant();
        };
    }

    /// <summary>Sorts so that equal items keep their order, reversed or not.</summary>
    private static List<object?> Sorted(TemplateRun run, IReadOnlyList<object?> items, Func<object?, object?> key, bool reverse)
    {
        Comparer<object?> comparer = Comparer<object?>.Create((left, right) =>
        {
            run.Charge(ComparisonCost);
            return TemplateOrder.Compare(left, right) is var order && order == 2 ? 0 : order;
        });
        try
        {
            return reverse ? [.. items.OrderByDescending(key, comparer)] : [.. items.OrderBy(key, comparer)];
        }
        catch (InvalidOperationException error) when (error.InnerException is TemplateFault fault)
        {
            throw new TemplateFault(fault.Message);
        }
    }
}
