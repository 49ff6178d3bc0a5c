namespace LongCat.ML.Checkpoints;

public sealed partial class PeftAdapter
{
    private const int MostListed = 8;

    /// <summary>
    /// The adapter under a model's own names, held against it: experts get the names of the family, and matrices of zero-computation experts, which files for fused experts
    /// have, are left out because such experts have no weights.
    /// </summary>
    /// <param name="model">The base model's config.</param>
    /// <returns>This adapter where nothing changes, else a new one; both are valid until either is disposed.</returns>
    /// <exception cref="AdapterException">As <see cref="Validate(ModelConfig)"/> throws it.</exception>
    public PeftAdapter For(ModelConfig model)
    {
        ArgumentNullException.ThrowIfNull(model);
        List<AdapterMatrix> own = [];
        bool changed = false;
        foreach (AdapterMatrix matrix in Modules.Values)
        {
            string? path = OwnPath(matrix.Module, model);
            changed |= path != matrix.Module;
            if (path is not null)
            {
                own.Add(matrix with { Module = path });
            }
        }

        PeftAdapter adapter = changed ? new PeftAdapter(Name, Config, Afa, own, SavedModules.Values, _fused, _file, TrainedOn) : this;
        adapter.Validate(model);
        return adapter;
    }

    /// <summary>Holds the adapter against a checkpoint's config.</summary>
    /// <param name="checkpoint">The base model.</param>
    /// <exception cref="AdapterException">As the other overload throws it.</exception>
    public void Validate(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        Validate(checkpoint.Config);
    }

    /// <summary>Holds names and shapes against a model: every module must be one of the model's, with matrices of its size.</summary>
    /// <param name="model">The base model's config.</param>
    /// <exception cref="AdapterException">
    /// Modules are not the model's (near names are listed), have other sizes or are of another kind; embedding and head are tied and the adapter changes one of them; or
    /// training began with a change of the base weights (<see cref="PeftConfig.ChangesBase"/>) that was not subtracted.
    /// </exception>
    public void Validate(ModelConfig model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (Config.ChangesBase)
        {
            throw new AdapterException(Name, $"init_lora_weights is {Config.InitLoraWeights}: the adapter goes with base weights from which its start was subtracted, not with the published ones. "
                + "Save it converted (PEFT: save_pretrained with path_initial_model_for_weight_conversion; LongCat.ML does it on its own)");
        }

        Dictionary<string, ModelModule> modules = ModelModule.Of(model).ToDictionary(m => m.Path, StringComparer.Ordinal);
        string[] adaptable = [.. modules.Values.Where(m => m.Kind != ModuleKind.Other).Select(m => m.Path)];
        List<(string Module, string Problem)> problems = [];
        foreach (AdapterMatrix matrix in Modules.Values)
        {
            // Near names are looked for only where they are shown: an adapter of another mixture has tens of thousands of modules.
            if (ProblemWith(matrix, modules.GetValueOrDefault(matrix.Module), model, problems.Count < MostListed ? adaptable : []) is string problem)
            {
                problems.Add((matrix.Module, problem));
            }
        }

        Dictionary<string, IReadOnlyList<long>> tensors = model.ExpectedTensors(withMtp: false).ToDictionary(t => t.Name, t => t.Shape, StringComparer.Ordinal);
        foreach (AdapterTensor tensor in SavedModules.Values)
        {
            if (ProblemWith(tensor, tensors, model) is string problem)
            {
                problems.Add((tensor.Name, problem));
            }
        }

        if (problems.Count > 0)
        {
            throw new AdapterException(Name, problems.Count == 1 ? problems[0].Module : null, problems.Count == 1
                ? problems[0].Problem
                : $"{problems.Count} of {Modules.Count + SavedModules.Count} modules do not fit the model; it was trained on another one, or on other names of its parts:\n"
                    + string.Join('\n', problems.Take(MostListed).Select(p => $"  {CheckpointException.Printable(p.Module)}: {p.Problem}"))
                    + (problems.Count > MostListed ? $"\n  … and {problems.Count - MostListed} more" : ""));
        }
    }

    private static string? ProblemWith(AdapterMatrix matrix, ModelModule? module, ModelConfig model, string[] adaptable)
    {
        if (module is null || module.Kind == ModuleKind.Other)
        {
            return TiedPart(matrix.Module, model) ?? (module is not null
                ? "takes no adapter: it is no projection and no embedding"
                : $"is no module of the model ({model.Architecture}); {NearNames.Hint(matrix.Module, adaptable)}");
        }

        bool embedding = module.Kind == ModuleKind.Embedding;
        if (embedding != (matrix.Kind == AdapterKind.Embedding))
        {
            return $"has matrices of {(embedding ? "a projection" : "an embedding")} (lora_{(embedding ? "" : "embedding_")}A), and is {(embedding ? "an embedding" : "a projection")} in the model";
        }

        if (matrix.In != module.In || matrix.Out != module.Out)
        {
            return $"expected A [{matrix.Rank}, {module.In}] and B [{module.Out}, {matrix.Rank}] for the model's [{(embedding ? module.In : module.Out)}, {(embedding ? module.Out : module.In)}], "
                + $"got A [{matrix.Rank}, {matrix.In}] and B [{matrix.Out}, {matrix.Rank}]: it was trained on a model of another size";
        }

        return TiedPart(matrix.Module, model)
            ?? (matrix.Bias is not null && !module.HasBias ? "has a bias of B (lora_bias), and the model's module has none to add it to" : null);
    }

    private static string? ProblemWith(AdapterTensor tensor, Dictionary<string, IReadOnlyList<long>> tensors, ModelConfig model)
    {
        if (!tensors.TryGetValue(tensor.Name, out IReadOnlyList<long>? shape))
        {
            return TiedPart(tensor.Name, model) ?? $"replaces a tensor that the model ({model.Architecture}) does not have; {NearNames.Hint(tensor.Name, tensors.Keys)}";
        }

        return TiedPart(tensor.Name, model) ?? (TensorEntry.SameShape(shape, tensor.Shape)
            ? null
            : $"replaces a tensor of shape {TensorEntry.ShapeText(shape)}, expected that shape, got {TensorEntry.ShapeText(tensor.Shape)}: it was trained on a model of another size");
    }

    /// <summary>PEFT changes one of the two uses of a tied matrix; with one matrix for both that cannot be said.</summary>
    private static string? TiedPart(string name, ModelConfig model) =>
        model.TieWordEmbeddings && (name is "lm_head" or "model.embed_tokens" or ModelConfig.HeadName or ModelConfig.EmbeddingName)
            ? "is one matrix with the other end of the model (tie_word_embeddings is true), and the adapter would change one of the two uses alone; "
                + "untie the base model first (tie_word_embeddings false and an lm_head.weight of its own)"
            : null;

    /// <summary>The path of a module in a model; null for what has no weights there.</summary>
    private string? OwnPath(string path, ModelConfig model)
    {
        if (_fused.Count == 0 || !FusedExperts.TrySplit(path, out string experts, out int expert, out string projection))
        {
            return path;
        }

        if (model is LongcatFlashConfig flash)
        {
            return expert >= flash.NumRoutedExperts && expert < flash.NumRoutedExperts + flash.NumZeroExperts ? null : path;
        }

        return model is DecoderConfig { Experts: { BlockName: not "mlp" } mixture }
            ? $"{experts.Replace(".mlp.", $".{mixture.BlockName}.", StringComparison.Ordinal)}.{expert}.{projection switch
            {
                FusedExperts.Gate => mixture.GateProjection,
                FusedExperts.Up => mixture.UpProjection,
                FusedExperts.Down => mixture.DownProjection,
                _ => projection,
            }}"
            : path;
    }
}
