namespace LongCat.ML.Checkpoints;

/// <summary>
/// Adapters of models that hold all experts of a layer in two parameters, <c>experts.gate_up_proj</c> [E, 2·inter, hidden] and <c>experts.down_proj</c> [E, hidden, inter],
/// against one pair of matrices for each expert's projection.
/// </summary>
/// <remarks>
/// A is stored expert by expert, [E, r, in], B rank by rank, [out, r, E]: reading B expert by expert as well gives a shape that fits and a model that does not.
/// Gate and up share A; their rows of B follow each other, the gate's first.
/// </remarks>
internal static partial class FusedExperts
{
    public const string GateUp = "gate_up_proj";
    public const string Down = "down_proj";
    public const string Gate = "gate_proj";
    public const string Up = "up_proj";

    private const string Experts = ".experts";

    /// <summary>The parameter that an expert's projection is a part of, when it is a target: <c>….experts.3.up_proj</c> → <c>….experts.gate_up_proj</c>.</summary>
    public static string? ParameterOf(string modulePath, IReadOnlyList<string> targetParameters)
    {
        if (!TrySplit(modulePath, out string experts, out _, out string projection))
        {
            return null;
        }

        string parameter = $"{ParameterPath(experts)}.{(projection is Down or "w2" ? Down : GateUp)}";
        return IsTarget(parameter, targetParameters) ? parameter : null;
    }

    /// <summary>What models with all experts in one parameter call the experts: Mixtral's <c>block_sparse_moe</c> is <c>mlp</c> there.</summary>
    public static string ParameterPath(string experts) => experts.Replace(".block_sparse_moe.", ".mlp.", StringComparison.Ordinal);

    /// <summary>PEFT's rule for parameters: the whole name, or its end after a point.</summary>
    public static bool IsTarget(string parameter, IReadOnlyList<string> targetParameters) =>
        targetParameters.Any(t => parameter == t || parameter.EndsWith($".{t}", StringComparison.Ordinal));

    /// <summary>Takes <c>model.layers.0.mlp.experts.3.up_proj</c> apart.</summary>
    public static bool TrySplit(string modulePath, out string experts, out int expert, out string projection)
    {
        (experts, expert, projection) = ("", 0, "");
        int last = modulePath.LastIndexOf('.');
        int number = last > 0 ? modulePath.LastIndexOf('.', last - 1) : -1;
        if (number < 0 || !modulePath.AsSpan(0, number).EndsWith(Experts) || !int.TryParse(modulePath.AsSpan(number + 1, last - number - 1), out expert))
        {
            return false;
        }

        (experts, projection) = (modulePath[..number], modulePath[(last + 1)..]);
        return true;
    }
}
