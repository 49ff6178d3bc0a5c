using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>Attributes, items, slices and iteration of values.</summary>
internal static class TemplateMembers
{
    /// <summary><c>target.name</c>: a method or attribute, else the key of that name.</summary>
    public static object? Attribute(object? target, string name) => target switch
    {
        TemplateUndefined undefined => throw undefined.Fault(),
        string text => TextMethods.Find(text, name) ?? (object)TemplateUndefined.Attribute(target, name),
        TemplateMap map => MapMethods.Find(map, name) ?? (map.TryGet(name, out object? value) ? value : TemplateUndefined.Attribute(target, name)),
        TemplateList list => ListMethods.Find(list, name) ?? (object)TemplateUndefined.Attribute(target, name),
        TemplateNamespace space => space.Attributes.TryGetValue(name, out object? value) ? value : TemplateUndefined.Attribute(target, name),
        TemplateLoop loop => loop.Attribute(name),
        _ => TemplateUndefined.Attribute(target, name),
    };

    /// <summary><c>target[key]</c>: the item, else a method or attribute of that name.</summary>
    public static object? Item(TemplateRun run, object? target, object? key)
    {
        switch (target)
        {
            case TemplateUndefined undefined:
                throw undefined.Fault();
            case TemplateMap map when map.TryGet(key, out object? value):
                return value;
            case TemplateList list when key is long or bool:
                return At(list.Items.Count, key, out int index) ? list.Items[index] : TemplateUndefined.Attribute(target, key);
            case string text when key is long or bool:
                run.Charge(text.Length / 8);
                int count = CodePoints.Count(text);
                return At(count, key, out int at) ? CodePoints.Slice(text, at, 1) : TemplateUndefined.Attribute(target, key);
            default:
                return key is string name ? Attribute(target, name) : TemplateUndefined.Attribute(target, key);
        }
    }

    /// <summary><c>target[start:stop:step]</c> as Python has it: bounds beyond the ends are moved there.</summary>
    public static object Slice(TemplateRun run, object? target, object? start, object? stop, object? step)
    {
        long stride = Bound(step) ?? 1;
        if (stride == 0)
        {
            throw new TemplateFault("the step of a slice cannot be 0");
        }

        switch (target)
        {
            case string text:
                run.Charge(text.Length);
                string[]? characters = stride == 1 ? null : CodePoints.Split(text);
                (int from, int taken) = Range(CodePoints.Count(text), Bound(start), Bound(stop), stride);
                return characters is null
                    ? CodePoints.Slice(text, from, taken)
                    : string.Concat(Enumerable.Range(0, taken).Select(i => characters[from + (i * stride)]));
            case TemplateList list:
                (int first, int count) = Range(list.Items.Count, Bound(start), Bound(stop), stride);
                run.Charge(4L * count);
                object?[] items = new object?[count];
                for (int i = 0; i < count; i++)
                {
                    items[i] = list.Items[(int)(first + (i * stride))];
                }

                return new TemplateList(items, list.IsTuple);
            case TemplateUndefined undefined:
                throw undefined.Fault();
            default:
                return TemplateUndefined.Attribute(target, "slice");
        }
    }

    /// <summary>What a loop goes through: items, keys, or characters.</summary>
    public static IReadOnlyList<object?> Iterate(TemplateRun run, object? value)
    {
        switch (value)
        {
            case TemplateList list:
                return list.Items;
            case TemplateIterator iterator:
                return iterator.TakeAll();
            case TemplateUndefined:
                return [];
            case TemplateMap map:
                run.Charge(4L * map.Count);
                return [.. map.Keys];
            case string text:
                run.Charge(16L * text.Length);
                return CodePoints.Split(text);
            default:
                throw new TemplateFault($"{TemplateText.TypeOf(value)} cannot be gone through");
        }
    }

    /// <summary>
    /// The value at a path of attributes, such as <c>function.name</c>; whole numbers are indexes. What is missing on the way is the fallback, unless that is none.
    /// </summary>
    public static object? Path(TemplateRun run, object? value, object? path, object? fallback = null)
    {
        if (path is not string text)
        {
            return Step(value, path);
        }

        run.Charge(text.Length);
        foreach (string part in text.Split('.'))
        {
            value = Step(value, int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int index) ? (long)index : part);
        }

        return value;

        object? Step(object? from, object? key) => Item(run, from, key) is var found && found is TemplateUndefined && fallback is not null ? fallback : found;
    }

    private static bool At(int count, object key, out int index)
    {
        long at = key is bool flag ? (flag ? 1 : 0) : (long)key;
        at += at < 0 ? count : 0;
        index = at >= 0 && at < count ? (int)at : 0;
        return at >= 0 && at < count;
    }

    private static long? Bound(object? value) => value switch
    {
        null => null,
        long whole => whole,
        bool flag => flag ? 1 : 0,
        TemplateUndefined undefined => throw undefined.Fault(),
        _ => throw new TemplateFault($"expected whole numbers in a slice, got {TemplateText.TypeOf(value)}"),
    };

    private static (int First, int Count) Range(int length, long? start, long? stop, long step)
    {
        long low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
        long from = start is { } s ? Math.Clamp(s < 0 ? Math.Max(s, -length - 1L) + length : s, low, high) : step > 0 ? low : high;
        long to = stop is { } e ? Math.Clamp(e < 0 ? Math.Max(e, -length - 1L) + length : e, low, high) : step > 0 ? high : low;

        // A step beyond the length takes one item at most; the clamp keeps the arithmetic inside 64 bits.
        long stride = Math.Clamp(step, -length - 1L, length + 1L), distance = to - from;
        long count = stride > 0 ? (distance + stride - 1) / stride : (distance + stride + 1) / stride;
        return count <= 0 ? (0, 0) : ((int)from, (int)count);
    }
}
