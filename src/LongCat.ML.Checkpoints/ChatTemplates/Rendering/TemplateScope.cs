using System.Diagnostics.CodeAnalysis;

namespace LongCat.ML.Checkpoints;

/// <summary>The variables of a template, a loop's turn, a macro's call or a block; what is not here is looked for further out.</summary>
/// <param name="parent">The scope around it; null for the outermost.</param>
internal sealed class TemplateScope(TemplateScope? parent)
{
    private Dictionary<string, object?>? _variables;

    public void Set(string name, object? value) => (_variables ??= new Dictionary<string, object?>(StringComparer.Ordinal))[name] = value;

    public bool TryGet(string name, [MaybeNullWhen(true)] out object? value)
    {
        for (TemplateScope? scope = this; scope is not null; scope = scope.Parent)
        {
            if (scope._variables is not null && scope._variables.TryGetValue(name, out value))
            {
                return true;
            }
        }

        value = null;
        return false;
    }

    private TemplateScope? Parent { get; } = parent;
}
