namespace LongCat.ML.Checkpoints;

/// <summary>The methods of a list or tuple.</summary>
internal static class ListMethods
{
    public static TemplateFunction? Find(TemplateList list, string name) => name switch
    {
        "index" => new TemplateFunction(name, (run, arguments) =>
        {
            object? wanted = arguments.Bind(name, 1, "value")[0];
            run.Charge(list.Items.Count);
            for (int i = 0; i < list.Items.Count; i++)
            {
                if (TemplateOrder.AreEqual(list.Items[i], wanted, 0))
                {
                    return (long)i;
                }
            }

            throw new TemplateFault("`index` found no such item");
        }),
        "count" => new TemplateFunction(name, (run, arguments) =>
        {
            object? wanted = arguments.Bind(name, 1, "value")[0];
            run.Charge(list.Items.Count);
            return (long)list.Items.Count(item => TemplateOrder.AreEqual(item, wanted, 0));
        }),
        "copy" when !list.IsTuple => new TemplateFunction(name, (_, arguments) =>
        {
            arguments.Bind(name, 0);
            return list;
        }),
        "append" or "clear" or "extend" or "insert" or "pop" or "remove" or "reverse" or "sort" when !list.IsTuple => Changing("list", name),
        _ => null,
    };

    /// <summary>A method that the sandbox refuses, here as in the reference.</summary>
    public static TemplateFunction Changing(string kind, string name) => new(name, (_, _) =>
        throw new TemplateFault($"`{name}` would change a {kind}; chat templates run where values cannot be changed (join lists with `+`, keep state in a `namespace`)"));
}
