namespace LongCat.ML.Checkpoints;

/// <summary>A module of a model as adapters see it: what holds a tensor named <c>weight</c>, under the names of the published checkpoints.</summary>
/// <param name="Path">The module's path, for instance <c>model.layers.0.mlp.experts.3.down_proj</c>.</param>
/// <param name="Kind">What it is to an adapter.</param>
/// <param name="In">Columns of a projection's weight; of an embedding the rows of its table; of anything else 1.</param>
/// <param name="Out">Rows of a projection's weight; of an embedding the width of its table; of anything else its size.</param>
/// <param name="HasBias">Whether the module has a bias.</param>
public sealed record ModelModule(string Path, ModuleKind Kind, long In, long Out, bool HasBias)
{
    private const string Weight = ".weight";
    private const string Bias = ".bias";

    /// <summary>Whether the module is a projection of one routed expert.</summary>
    public bool IsExpert => Path.Contains(".experts.", StringComparison.Ordinal);

    /// <summary>
    /// All modules of a model with a weight, in the order of the forward pass; without multi-token-prediction layers, which adapters leave alone. A head that is tied to the
    /// word embedding is no module of its own.
    /// </summary>
    /// <param name="config">The model's config.</param>
    /// <returns>The modules.</returns>
    public static IReadOnlyList<ModelModule> Of(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return Of(config.ExpectedTensors(withMtp: false));
    }

    /// <summary>The modules of the multi-token-prediction layers alone, in the order of the forward pass.</summary>
    /// <param name="config">The model's config.</param>
    /// <returns>The modules; none where the model has no such layers.</returns>
    public static IReadOnlyList<ModelModule> OfDraftHead(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        HashSet<string> others = [.. config.ExpectedTensors(withMtp: false).Select(t => t.Name)];
        return Of([.. config.ExpectedTensors(withMtp: true).Where(t => !others.Contains(t.Name))]);
    }

    private static List<ModelModule> Of(IReadOnlyList<ExpectedTensor> tensors)
    {
        HashSet<string> biases = [.. tensors.Where(t => t.Name.EndsWith(Bias, StringComparison.Ordinal)).Select(t => t.Name[..^Bias.Length])];
        List<ModelModule> modules = [];
        foreach (ExpectedTensor tensor in tensors)
        {
            if (tensor.Name.EndsWith(Weight, StringComparison.Ordinal))
            {
                string path = tensor.Name[..^Weight.Length];
                ModuleKind kind = KindOf(tensor);
                (long columns, long rows) = tensor.Shape.Count == 2 ? (tensor.Shape[1], tensor.Shape[0]) : (1, tensor.Shape[0]);
                modules.Add(kind == ModuleKind.Embedding
                    ? new ModelModule(path, kind, rows, columns, HasBias: false)
                    : new ModelModule(path, kind, columns, rows, biases.Contains(path)));
            }
        }

        return modules;
    }

    private static ModuleKind KindOf(ExpectedTensor tensor) => (tensor.Group, tensor.Shape.Count) switch
    {
        (TensorGroup.Embedding, 2) => ModuleKind.Embedding,
        (TensorGroup.NGram, 2) => tensor.Name.Contains("proj", StringComparison.Ordinal) ? ModuleKind.Linear : ModuleKind.Embedding,
        (TensorGroup.Head, 2) => ModuleKind.Head,
        (TensorGroup.Router, 2) => ModuleKind.Router,
        (TensorGroup.Indexer, _) => ModuleKind.Other, // its choice has no gradient
        (_, 2) => ModuleKind.Linear,
        _ => ModuleKind.Other,
    };
}
