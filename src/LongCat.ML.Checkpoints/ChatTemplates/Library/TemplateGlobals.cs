using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>The functions that every template can call.</summary>
internal static class TemplateGlobals
{
    /// <summary>As in the reference's sandbox.</summary>
    private const int LongestRange = 100_000;

    private static readonly Dictionary<string, TemplateFunction> s_functions = new TemplateFunction[]
    {
        new("range", Range),
        new("dict", (_, arguments) => Fill(new TemplateMap(), arguments)),
        new("namespace", Namespace),
        new("raise_exception", (run, arguments) => throw new TemplateFault($"the template refuses the messages: {TemplateText.Of(run, arguments.Bind("raise_exception", 1, "message")[0])}")),
        new("strftime_now", (run, arguments) => Time(run, TemplateArguments.Text("strftime_now", "format", arguments.Bind("strftime_now", 1, "format")[0]))),
        new("joiner", Joiner),
    }.ToDictionary(function => function.Name, StringComparer.Ordinal);

    public static TemplateFunction? Find(string name) => s_functions.GetValueOrDefault(name);

    private static object? Range(TemplateRun run, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("range", 1, "start", "stop", "step");
        long first = TemplateArguments.Whole("range", "start", bound[0]);
        bool two = !ReferenceEquals(bound[1], TemplateArguments.Missing);
        long start = two ? first : 0, stop = two ? TemplateArguments.Whole("range", "stop", bound[1]) : first, step = TemplateArguments.Whole("range", "step", bound[2], 1);
        if (step == 0)
        {
            throw new TemplateFault("the step of `range` cannot be 0");
        }

        Int128 distance = (Int128)stop - start;
        Int128 count = step > 0 ? (distance + step - 1) / step : (distance + step + 1) / step;
        if (count > LongestRange)
        {
            throw new TemplateFault($"`range` may have {LongestRange} numbers, got {count}");
        }

        count = Int128.Max(count, 0);
        run.Charge((long)count);
        object?[] items = new object?[(int)count];
        for (int i = 0; i < items.Length; i++)
        {
            items[i] = start + (i * step);
        }

        return new TemplateList(items);
    }

    private static TemplateMap Fill(TemplateMap map, TemplateArguments arguments)
    {
        switch (arguments.Bind("dict", 0, [string.Empty, .. arguments.Named.Select(argument => argument.Key)])[0])
        {
            case TemplateMap source:
                foreach ((object key, object? value) in source.Entries)
                {
                    map.Set(key, value);
                }

                break;
            case TemplateList pairs:
                foreach (object? pair in pairs.Items)
                {
                    TemplateList entry = pair is TemplateList { Items.Count: 2 } two ? two : throw new TemplateFault("expected pairs of key and value");
                    map.Set(entry.Items[0], entry.Items[1]);
                }

                break;
            case var other when !ReferenceEquals(other, TemplateArguments.Missing):
                throw new TemplateFault($"expected a dictionary or pairs, got {TemplateText.TypeOf(other)}");
        }

        foreach ((string name, object? value) in arguments.Named)
        {
            map.Set(name, value);
        }

        return map;
    }

    private static object? Namespace(TemplateRun run, TemplateArguments arguments)
    {
        TemplateNamespace space = new();
        foreach ((object key, object? value) in Fill(new TemplateMap(), arguments).Entries)
        {
            space.Attributes[key as string ?? throw new TemplateFault("the attributes of a namespace are names")] = value;
        }

        return space;
    }

    private static object? Joiner(TemplateRun run, TemplateArguments arguments)
    {
        object? separator = arguments.Bind("joiner", 0, "sep")[0];
        bool used = false;
        return new TemplateFunction("joiner", (_, inner) =>
        {
            inner.Bind("joiner", 0);
            string text = used ? TemplateArguments.Text("joiner", "sep", separator, ", ") : string.Empty;
            used = true;
            return text;
        });
    }

    private static string Time(TemplateRun run, string format)
    {
        DateTimeOffset now = run.Clock.GetLocalNow();
        StringBuilder text = new();
        run.Charge(format.Length);
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }

            // `%-d` is the number without its leading zero.
            bool bare = format[i + 1] == '-' && i + 2 < format.Length;
            i += bare ? 2 : 1;
            string? net = format[i] switch
            {
                'Y' => "yyyy",
                'y' => "yy",
                'm' => "MM",
                'd' => "dd",
                'B' => "MMMM",
                'b' or 'h' => "MMM",
                'A' => "dddd",
                'a' => "ddd",
                'H' => "HH",
                'I' => "hh",
                'M' => "mm",
                'S' => "ss",
                'f' => "ffffff",
                'p' => "tt",
                'F' => "yyyy-MM-dd",
                'T' => "HH':'mm':'ss",
                _ => null,
            };
            string piece = net is not null
                ? now.ToString(net.Length == 1 ? "%" + net : net, CultureInfo.InvariantCulture)
                : format[i] switch
                {
                    'j' => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
                    'w' => ((int)now.DayOfWeek).ToString(CultureInfo.InvariantCulture),
                    '%' => "%",
                    _ => throw new TemplateFault($"`strftime_now` does not know `%{CheckpointException.Printable(format[i].ToString())}`"),
                };
            text.Append(bare && piece.Length > 1 ? piece.TrimStart('0') is { Length: > 0 } number ? number : "0" : piece);
        }

        return text.ToString();
    }
}
