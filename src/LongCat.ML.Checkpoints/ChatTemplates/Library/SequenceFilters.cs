using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Filters on sequences.</summary>
internal static class SequenceFilters
{
    public static object? Length(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("length", 0);
        switch (value)
        {
            case string text:
                run.Charge(text.Length / 8);
                return (long)CodePoints.Count(text);
            case TemplateList list:
                return (long)list.Items.Count;
            case TemplateMap map:
                return (long)map.Count;
            case TemplateUndefined:
                return 0L;
            case TemplateLoop loop:
                return loop.Attribute("length");
            default:
                throw new TemplateFault($"{TemplateText.TypeOf(value)} has no length");
        }
    }

    public static object? First(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("first", 0);
        TemplateUndefined none = new("there is no first item: the sequence is empty");
        if (value is TemplateIterator iterator)
        {
            return iterator.TryTake(out object? item) ? item : none;
        }

        if (value is string { Length: > 0 } text)
        {
            return CodePoints.Slice(text, 0, 1);
        }

        IReadOnlyList<object?> items = TemplateMembers.Iterate(run, value);
        return items.Count > 0 ? items[0] : none;
    }

    public static object? Last(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("last", 0);
        IReadOnlyList<object?> items = value is TemplateIterator ? throw new TemplateFault("an iterator has no last item; make it a list first") : TemplateMembers.Iterate(run, value);
        return items.Count > 0 ? items[^1] : new TemplateUndefined("there is no last item: the sequence is empty");
    }

    public static object? List(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("list", 0);
        return new TemplateList(TemplateMembers.Iterate(run, value));
    }

    public static object? Items(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("items", 0);
        return value switch
        {
            TemplateMap map => MapMethods.Items(run, map, arguments),
            TemplateUndefined => new TemplateList([]),
            _ => throw new TemplateFault($"`items` expects a dictionary, got {TemplateText.TypeOf(value)}"),
        };
    }

    public static object? Join(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("join", 0, "d", "attribute");
        string separator = ReferenceEquals(bound[0], TemplateArguments.Missing) ? string.Empty : TemplateText.Of(run, bound[0]);
        bool attribute = bound[1] is not null && !ReferenceEquals(bound[1], TemplateArguments.Missing);
        StringBuilder text = new();
        bool first = true;
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            string piece = TemplateText.Of(run, attribute ? TemplateMembers.Path(run, item, bound[1]) : item);
            run.Charge(separator.Length + (long)piece.Length);
            text.Append(first ? string.Empty : separator).Append(piece);
            first = false;
        }

        return text.ToString();
    }

    public static object? Reverse(TemplateRun run, object? value, TemplateArguments arguments)
    {
        arguments.Bind("reverse", 0);
        if (value is string text)
        {
            run.Charge(16L * text.Length);
            string[] characters = CodePoints.Split(text);
            Array.Reverse(characters);
            return string.Concat(characters);
        }

        IReadOnlyList<object?> items = TemplateMembers.Iterate(run, value);
        run.Charge(4L * items.Count);
        return new TemplateIterator([.. items.Reverse()]);
    }

    public static object? Batch(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("batch", 1, "linecount", "fill_with");
        long size = TemplateArguments.Whole("batch", "linecount", bound[0]);
        if (size < 1)
        {
            throw new TemplateFault($"`batch` expects a size of at least 1, got {size}");
        }

        IReadOnlyList<object?> items = TemplateMembers.Iterate(run, value);
        bool fill = bound[1] is not null && !ReferenceEquals(bound[1], TemplateArguments.Missing);
        run.Charge(4 * (items.Count + (fill ? size : 0)));
        List<object?> batches = [];
        foreach (object?[] batch in items.Chunk((int)Math.Min(size, int.MaxValue)))
        {
            batches.Add(new TemplateList(fill && batch.Length < size ? [.. batch, .. Enumerable.Repeat(bound[1], (int)size - batch.Length)] : batch));
        }

        return new TemplateIterator(batches);
    }

    public static object? Slice(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("slice", 1, "slices", "fill_with");
        long slices = TemplateArguments.Whole("slice", "slices", bound[0]);
        if (slices < 1)
        {
            throw new TemplateFault($"`slice` expects at least 1 slice, got {slices}");
        }

        IReadOnlyList<object?> items = TemplateMembers.Iterate(run, value);
        run.Charge(Math.Min(slices, int.MaxValue) * 16);
        run.Charge(4L * items.Count);
        bool fill = bound[1] is not null && !ReferenceEquals(bound[1], TemplateArguments.Missing);
        int each = (int)(items.Count / slices), larger = (int)(items.Count % slices), at = 0;
        List<object?> result = [];
        for (int i = 0; i < slices; i++)
        {
            int size = each + (i < larger ? 1 : 0);
            List<object?> part = [.. items.Skip(at).Take(size)];
            at += size;
            if (fill && i >= larger)
            {
                part.Add(bound[1]);
            }

            result.Add(new TemplateList(part));
        }

        return new TemplateIterator(result);
    }
}
