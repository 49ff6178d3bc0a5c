using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>Putting adapters on a model.</content>
public sealed partial class AdaptedModel
{
    /// <summary>Puts a new adapter on a model and freezes the model's own weights. The model computes what it computed before.</summary>
    /// <param name="model">The model, without an adapter.</param>
    /// <param name="options">The adapter.</param>
    /// <returns>The adapted model, to be disposed before the model.</returns>
    /// <exception cref="ArgumentException">An option has a value that is not allowed, or two do not go together.</exception>
    /// <exception cref="AdapterException">A target matches nothing (the message lists near names), or the adapter does not go with how the model's weights are stored.</exception>
    /// <exception cref="InvalidOperationException">The model has an adapter.</exception>
    public static AdaptedModel Attach(CausalLanguageModel model, LoraOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        RequireFree(model);
        return Attach(model, options, config => config.Resolve(model.Config));
    }

    /// <summary>
    /// Puts a new adapter on the draft head of a model, whose own weights it freezes, the head's among them. To be merged: files of adapters and engines know none on heads.
    /// </summary>
    /// <param name="model">The model, without an adapter.</param>
    /// <param name="options">The adapter; its targets are modules of the head (<c>eh_proj</c>, <c>q_a_proj</c> and so on), all projections where there are none.</param>
    /// <returns>The adapted model, to be disposed before the model.</returns>
    /// <exception cref="ArgumentException">An option has a value that is not allowed, two do not go together, or modules are named that are not the head's.</exception>
    /// <exception cref="AdapterException">A target matches nothing (the message lists near names), or the adapter does not go with how the model's weights are stored.</exception>
    /// <exception cref="InvalidOperationException">The model has an adapter, or no draft head.</exception>
    public static AdaptedModel AttachToDraftHead(LongcatFlashForCausalLM model, LoraOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        if (options.TrainNGramTables || options.ModulesToSave is not null)
        {
            throw new ArgumentException($"{nameof(LoraOptions)}.{nameof(LoraOptions.TrainNGramTables)} and {nameof(LoraOptions.ModulesToSave)} are for whole models, expected neither for a draft head", nameof(options));
        }

        RequireFree(model);
        if (model.Model.DraftHead is null)
        {
            throw new InvalidOperationException("the model has no draft head (num_nextn_predict_layers is 0, or the checkpoint has no model.mtp tensors)");
        }

        options = options with { Targets = options.Targets ?? AdapterTargets.AllLinear };
        return Attach(model, options, config => config.Targets!.Resolve(ModelModule.OfDraftHead(model.Config), config.ExcludeModules, config.LayersToTransform, config.LayersPattern));
    }

    private static AdaptedModel Attach(CausalLanguageModel model, LoraOptions options, Func<PeftConfig, IReadOnlyList<string>> resolve)
    {
        AdaptedModel adapted = new(model, options.ToPeft(), options.Afa, options.Seed, trainable: true);
        return adapted.Finish(() =>
        {
            IReadOnlyList<string> modules = resolve(adapted._config);
            Freeze(adapted);
            Dictionary<string, Projection> projections = model.Projections().ToDictionary(p => p.Path, p => p.Projection, StringComparer.Ordinal);
            Dictionary<string, TokenTable> tables = model.StoredTables().ToDictionary(t => t.Path, t => t.Table, StringComparer.Ordinal);
            foreach (string module in modules)
            {
                if (projections.TryGetValue(module, out Projection? projection))
                {
                    adapted.Add(module, projection, options);
                }
                else
                {
                    adapted.Add(module, tables[module], options);
                }
            }

            adapted.AddSaved(options.ModulesToSave ?? []);
            if (options.TrainNGramTables)
            {
                adapted.AddNGramTables();
            }
        });
    }

    /// <summary>Puts an adapter that was loaded on a model and freezes the model's own weights.</summary>
    /// <param name="model">The model, without an adapter.</param>
    /// <param name="adapter">The adapter, which stays the caller's.</param>
    /// <param name="trainable">Whether training goes on; its PiSSA, if any, is then plain LoRA of twice the rank.</param>
    /// <returns>The adapted model, to be disposed before the model.</returns>
    /// <exception cref="AdapterException">The adapter does not fit the model.</exception>
    /// <exception cref="InvalidOperationException">The model has an adapter.</exception>
    public static AdaptedModel Attach(CausalLanguageModel model, PeftAdapter adapter, bool trainable = false)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(adapter);
        RequireFree(model);
        PeftAdapter fitting = adapter.For(model.Config);
        AdaptedModel adapted = new(model, fitting.Config, fitting.Afa is null ? null : AfaOptions.Of(fitting.Afa), seed: 0, trainable) { _source = fitting };
        return adapted.Finish(() =>
        {
            Freeze(adapted);
            Dictionary<string, Projection> projections = model.Projections().ToDictionary(p => p.Path, p => p.Projection, StringComparer.Ordinal);
            Dictionary<string, TokenTable> tables = model.StoredTables().ToDictionary(t => t.Path, t => t.Table, StringComparer.Ordinal);
            foreach (var (module, matrix) in fitting.Modules)
            {
                if (matrix.Kind == AdapterKind.Linear && projections.TryGetValue(module, out Projection? projection))
                {
                    adapted.Add(module, projection, matrix.A, matrix.B, matrix.Magnitude, matrix.Bias, matrix.Type);
                }
                else if (matrix.Kind == AdapterKind.Embedding && tables.TryGetValue(module, out TokenTable? table))
                {
                    adapted.Add(module, table, matrix.A, matrix.B, matrix.Magnitude, matrix.Type);
                }
                else
                {
                    throw new AdapterException(fitting.Name, module, $"is no {(matrix.Kind == AdapterKind.Linear ? "projection" : "table")} that the modules of {model.Config.Architecture} have");
                }
            }

            foreach (var (name, tensor) in fitting.SavedModules)
            {
                adapted.AddSaved(name, tensor.Type, sparse: false);
                Fill(adapted._saved[^1].Parameter, tensor.ReadFloat32());
            }

            if (fitting.Afa is { } afa)
            {
                adapted._clock.StepTo(afa.Step, afa.TotalSteps, afa.Beta);
            }
        });
    }

    private static void RequireFree(CausalLanguageModel model)
    {
        if (model.Adapted is not null)
        {
            throw new InvalidOperationException($"the model has {model.Adapted.Describe()} already; dispose that AdaptedModel first");
        }

        if (model.Blend is not null)
        {
            throw new InvalidOperationException("the model is being calibrated; dispose that StreamingBlend first");
        }
    }

    private static void Freeze(AdaptedModel adapted)
    {
        foreach (var (_, parameter) in adapted.Model.named_parameters())
        {
            adapted._frozen.Add((parameter, parameter.requires_grad));
            parameter.requires_grad_(false);
            parameter.grad = null;
        }
    }

    private AdaptedModel Finish(Action attach)
    {
        try
        {
            using var scope = NewDisposeScope();
            attach();
            Model.Adapted = this;
            Model.Passes.Clock = _clock;
            _attached = true;
            return this;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private void Add(string module, Projection projection, LoraOptions options)
    {
        int rank = _config.RankOf(module), inputs = checked((int)projection.InFeatures), outputs = checked((int)projection.OutFeatures);
        ulong stream = SeededValues.Stream(options.Seed, module);
        if (options.Initialization.Kind == LoraInitializationKind.Pissa)
        {
            AddPissa(module, projection, rank, options.Initialization.Iterations, stream);
            return;
        }

        float[] a = new float[rank * inputs];
        if (options.Initialization.Kind == LoraInitializationKind.Gaussian)
        {
            SeededValues.Normal(a, 1.0 / rank, stream);
        }
        else
        {
            SeededValues.Uniform(a, 1 / Math.Sqrt(inputs), stream);
        }

        Add(module, projection, a, new float[outputs * rank], magnitude: null, bias: null, TensorType.Float32);
    }

    private void AddPissa(string module, Projection projection, int rank, int iterations, ulong stream)
    {
        if (projection.IsFrozen)
        {
            throw new AdapterException(Describe(), module, $"its weight is stored in {(projection.IsQuantized ? "4 or 8 bits" : "bfloat16")}, which does not hold the rest of PiSSA's decomposition; load the model in float32, or choose the default initialization");
        }

        if (rank > Math.Min(projection.InFeatures, projection.OutFeatures))
        {
            throw new AdapterException(Describe(), module, $"rank {rank} is more than the weight [{projection.OutFeatures}, {projection.InFeatures}] has singular values; choose a smaller rank for it (rank_pattern)");
        }

        var (a, b) = PrincipalComponents.Of(projection.Weight!.detach(), rank, _config.ScaleOf(module), iterations, stream);
        (float[] A, float[] B) initial = (Values(a), Values(b));
        Add(module, projection, initial.A, initial.B, magnitude: null, bias: null, TensorType.Float32);
        AdaptedProjection added = _projections[^1];
        added.Initial = initial;
        using (no_grad())
        {
            added.Original = projection.Weight!.detach().clone().DetachFromDisposeScope();
        }

        added.SplitOff();
    }

    private void Add(string module, Projection projection, float[] a, float[] b, float[]? magnitude, float[]? bias, TensorType type)
    {
        int rank = _config.RankOf(module);
        long inputs = projection.InFeatures, outputs = projection.OutFeatures;
        Tensor? squares = _config.UseDora ? projection.Dense(ScalarType.Float32).square().sum(1).DetachFromDisposeScope() : null;
        LinearAdapter adapter = new(_clock, module, Make(a, rank, inputs), Make(b, outputs, rank), _config.ScaleOf(module), _config.Dropout, squares)
        {
            Magnitude = squares is null ? null : magnitude is null ? MakeFrom(squares.sqrt()) : Make(magnitude),
            Bias = bias is null ? null : Make(bias),
        };
        _projections.Add(new AdaptedProjection(module, projection, adapter) { Type = type });
        projection.Adapter = adapter;
        Register($"{module}.lora_A.weight", module, adapter.A, AdapterRole.A);
        Register($"{module}.lora_B.weight", module, adapter.B, AdapterRole.B);
        Register($"{module}.lora_B.bias", module, adapter.Bias, AdapterRole.B);
        Register($"{module}.lora_magnitude_vector", module, adapter.Magnitude, AdapterRole.Magnitude);
    }

    private void Add(string module, TokenTable table, LoraOptions options)
    {
        if (options.Initialization.Kind == LoraInitializationKind.Pissa)
        {
            throw new AdapterException(Describe(), module, "is an embedding, which PiSSA is not defined for; exclude it, or choose the default initialization");
        }

        long[] shape = table.Module.weight!.shape;
        int rank = _config.RankOf(module);
        float[] b = new float[shape[1] * rank];
        SeededValues.Normal(b, 1, SeededValues.Stream(options.Seed, module));
        Add(module, table, new float[rank * shape[0]], b, magnitude: null, TensorType.Float32);
    }

    private void Add(string module, TokenTable table, float[] a, float[] b, float[]? magnitude, TensorType type)
    {
        int rank = _config.RankOf(module);
        long[] shape = table.Module.weight!.shape;
        Tensor? squares = _config.UseDora ? table.Dense(ScalarType.Float32).square().sum(0).DetachFromDisposeScope() : null;
        EmbeddingAdapter adapter = new(module, Make(a, rank, shape[0]), Make(b, shape[1], rank), _config.ScaleOf(module))
        {
            Squares = squares,
            Magnitude = squares is null ? null : magnitude is null ? MakeFrom(squares.sqrt()) : Make(magnitude),
        };
        _tables.Add(new AdaptedTable(module, table, adapter) { Type = type });
        table.Adapter = adapter;
        Register($"{module}.lora_embedding_A", module, adapter.A, AdapterRole.Embedding);
        Register($"{module}.lora_embedding_B", module, adapter.B, AdapterRole.Embedding);
        Register($"{module}.lora_magnitude_vector", module, adapter.Magnitude, AdapterRole.Magnitude);
    }

    /// <summary>Modules that are trained whole, by PEFT's rule: the name is a part of the path between points, at its end or above.</summary>
    private void AddSaved(IReadOnlyList<string> names)
    {
        string[] tensors = [.. Model.Config.ExpectedTensors(withMtp: false).Select(tensor => tensor.Name)];
        foreach (string name in names)
        {
            Regex rule = new($@"^(.*\.)?{Regex.Escape(name)}(\..*)?$", RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
            string[] matched = [.. tensors.Where(tensor => rule.IsMatch(tensor[..tensor.LastIndexOf('.')]) && !tensor.EndsWith("e_score_correction_bias", StringComparison.Ordinal))];
            if (matched.Length == 0)
            {
                IEnumerable<string> parts = tensors.Select(tensor => tensor.Split('.')[^2]).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal);
                throw new AdapterException(Describe(), $"modules_to_save names {name}, which is no module of the model; its modules are {string.Join(", ", parts.Where(part => !part.All(char.IsAsciiDigit)).Take(24))}");
            }

            foreach (string tensor in matched.Except(_saved.Select(saved => saved.Name)).ToArray())
            {
                AddSaved(tensor, TensorType.Float32, sparse: false);
            }
        }
    }

    private void AddSaved(string tensor, TensorType type, bool sparse)
    {
        string module = tensor[..tensor.LastIndexOf('.')];
        bool isWeight = tensor.EndsWith(".weight", StringComparison.Ordinal);
        Projection? projection = Model.Projections().Where(p => p.Path == module).Select(p => p.Projection).SingleOrDefault();
        TokenTable? table = Model.StoredTables().Where(t => t.Path == module).Select(t => t.Table).SingleOrDefault();
        TrainedTensor trained;
        if (isWeight && projection is { IsFrozen: true })
        {
            trained = new(tensor, MakeFrom(projection.Dense(ScalarType.Float32).clone()), copy => projection.Saved = copy) { Type = type };
        }
        else if (isWeight && table is { IsFrozen: true })
        {
            trained = new(tensor, MakeFrom(table.Dense(ScalarType.Float32).clone()), copy => table.Saved = copy) { Type = type };
        }
        else
        {
            Parameter? place = Model.named_parameters().Where(p => Model.StoredModule(p.name[..p.name.LastIndexOf('.')]) == module && p.name.EndsWith(tensor[module.Length..], StringComparison.Ordinal))
                .Select(p => p.parameter).SingleOrDefault() ?? throw new AdapterException(Describe(), tensor, "is no tensor of the model that can be trained");
            trained = new(tensor, place) { Type = type, Rows = sparse ? new SparseRows() : null };
            place.requires_grad_(_trainable && !sparse);
            if (sparse)
            {
                table!.Sparse = trained.Rows;
            }
        }

        _saved.Add(trained);
        if (_trainable)
        {
            _parameters.Add(new AdapterParameter(tensor, module, trained.Parameter, sparse ? AdapterRole.NGramTable : AdapterRole.Saved));
        }
    }

    private void AddNGramTables()
    {
        TokenTable[] tables = [.. Model.StoredTables().Skip(1).Select(t => t.Table)];
        if (tables.Length == 0)
        {
            throw new AdapterException(Describe(), $"TrainNGramTables is set, but {Model.Config.Architecture} has no n-gram tables; leave it out");
        }

        if (tables[0].IsFrozen)
        {
            throw new AdapterException(Describe(), $"TrainNGramTables is set, but the tables are stored in bfloat16, in which small updates vanish; load the model with {nameof(BaseWeights)}.{nameof(BaseWeights.Float32)}");
        }

        string[] modules = [.. Model.StoredTables().Skip(1).Select(t => t.Path)];
        foreach (string module in modules.Where(module => _saved.All(saved => saved.Module != module)))
        {
            if (_tables.Any(t => t.Path == module))
            {
                throw new AdapterException(Describe(), module, "has an adapter and is to be trained whole; exclude it from the targets, or leave TrainNGramTables out");
            }

            AddSaved(module + ".weight", TensorType.Float32, sparse: true);
        }

        _config = _config with { ModulesToSave = [.. _config.ModulesToSave ?? [], .. modules] };
    }

    private void Register(string name, string module, Parameter? parameter, AdapterRole role)
    {
        if (parameter is not null && _trainable)
        {
            _parameters.Add(new AdapterParameter(name, module, parameter, role));
        }
    }

    private Parameter Make(float[] values, params long[] shape) =>
        MakeFrom(tensor(values, shape.Length == 0 ? [values.Length] : shape, device: Model.Device));

    private Parameter MakeFrom(Tensor values)
    {
        Parameter parameter = new(values, _trainable);
        parameter.DetachFromDisposeScope();
        return parameter;
    }

    private static void Fill(Parameter parameter, float[] values)
    {
        using var frozen = no_grad();
        using var source = tensor(values, parameter.shape);
        parameter.copy_(source);
    }

    private static float[] Values(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return MemoryMarshal.Cast<byte, float>(tensor.detach().cpu().to(ScalarType.Float32).contiguous().bytes).ToArray();
    }
}
