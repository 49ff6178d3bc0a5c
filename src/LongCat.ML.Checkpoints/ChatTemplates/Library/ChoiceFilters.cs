namespace LongCat.ML.Checkpoints;

/// <summary>Filters that apply another filter or a test to every item.</summary>
internal static class ChoiceFilters
{
    public static object? Map(TemplateRun run, object? value, TemplateArguments arguments)
    {
        List<object?> results = [];
        if (arguments.Positional.Count == 0)
        {
            object?[] bound = arguments.Bind("map", 1, "attribute", "default");
            foreach (object? item in TemplateMembers.Iterate(run, value))
            {
                run.Step();
                results.Add(TemplateMembers.Path(run, item, bound[0], ReferenceEquals(bound[1], TemplateArguments.Missing) ? null : bound[1]));
            }

            return new TemplateIterator(results);
        }

        string name = TemplateArguments.Text("map", "filter", arguments.Positional[0]);
        TemplateFilter filter = TemplateFilters.Find(name) ?? throw new TemplateFault($"the filter `{CheckpointException.Printable(name)}` is not supported");
        TemplateArguments rest = arguments.Skip(1);
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            run.Step();
            results.Add(filter(run, item, rest));
        }

        return new TemplateIterator(results);
    }

    public static object? Select(TemplateRun run, object? value, TemplateArguments arguments, bool attribute, bool keep)
    {
        int skipped = attribute ? 1 : 0;
        if (arguments.Positional.Count < skipped)
        {
            throw new TemplateFault("the name of an attribute is missing");
        }

        TemplateTest? test = null;
        if (arguments.Positional.Count > skipped)
        {
            string name = TemplateArguments.Text("select", "test", arguments.Positional[skipped]);
            test = TemplateTests.Find(name) ?? throw new TemplateFault($"the test `{CheckpointException.Printable(name)}` is not supported");
        }

        TemplateArguments rest = arguments.Skip(skipped + 1);
        List<object?> chosen = [];
        foreach (object? item in TemplateMembers.Iterate(run, value))
        {
            run.Step();
            object? subject = attribute ? TemplateMembers.Path(run, item, arguments.Positional[0]) : item;
            if ((test is null ? TemplateOrder.IsTrue(subject) : test(run, subject, rest)) == keep)
            {
                chosen.Add(item);
            }
        }

        return new TemplateIterator(chosen);
    }
}
