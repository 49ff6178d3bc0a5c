using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Sessions;
using LongCat.ML.Onnx.Adapters;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Adapters;

/// <summary>
/// The adapters of an engine in memory, each module's beside each other (as S-LoRA, arXiv 2311.03285, and Punica, arXiv 2310.18547, batch them), and the graph that takes them.
/// Their values are inputs of the graph that are bound once; what changes from step to step is <c>row_adapter</c> alone. Must outlive the session's bindings.
/// </summary>
internal sealed unsafe class AdapterStack : IDisposable
{
    private readonly List<NativeBuffer> _buffers = [];
    private readonly List<(string Name, OrtValue Value)> _values = [];

    private AdapterStack(byte[] graph, IReadOnlyList<LoadedAdapter> adapters)
    {
        Graph = graph;
        Adapters = adapters;
    }

    /// <summary>model.onnx with inputs for the adapters.</summary>
    public byte[] Graph { get; }

    /// <summary>What was loaded, in the order that <c>row_adapter</c> counts.</summary>
    public IReadOnlyList<LoadedAdapter> Adapters { get; }

    /// <summary>Reads the adapters of the options and stacks them.</summary>
    /// <param name="folder">The exported folder.</param>
    /// <param name="options">The engine's options.</param>
    /// <returns>Null where the options name none.</returns>
    /// <exception cref="AdapterException">A folder holds no adapter, or a damaged one.</exception>
    /// <exception cref="InferenceException">An adapter does not fit the model, or cannot run on it.</exception>
    public static AdapterStack? Load(string folder, EngineOptions options)
    {
        if (options.Adapters.Count == 0)
        {
            return null;
        }

        List<AdapterSource> sources = [];
        try
        {
            AdapterGraph graph = AdapterGraph.Read(Path.Combine(folder, ModelManifest.ModelFileName));
            AdapterCheck check = new(folder, graph);
            foreach ((string name, string path) in options.Adapters)
            {
                AdapterSource source = new(name, path, PeftAdapter.Load(path));
                sources.Add(source);
                check.Check(source);
            }

            HashSet<string> names = [.. sources.SelectMany(source => source.Adapter.Modules.Keys).Select(AdapterGraph.WithoutExpert)];
            StackedModule[] modules = [.. graph.Modules.Values.Where(module => names.Contains(module.Module)).Select(module => new StackedModule(module, sources))];
            Dictionary<string, string> starts = StartNames(modules);
            byte[] rewritten = graph.Insert([.. modules.Select(module => new AdapterSite(module.Name) { Gain = module.HasGain, Start = starts.GetValueOrDefault(Key(module), AdapterNames.AdapterStart) })]);
            AdapterStack stack = new(rewritten, [.. sources.Select((source, index) => Describe(source, index, modules))]);
            try
            {
                stack.Fill(folder, modules, starts, options);
                return stack;
            }
            catch
            {
                stack.Dispose();
                throw;
            }
        }
        finally
        {
            sources.ForEach(source => source.Adapter.Dispose());
        }
    }

    /// <summary>Binds the adapters' values for good.</summary>
    public void Bind(OrtIoBinding binding)
    {
        foreach ((string name, OrtValue value) in _values)
        {
            binding.BindInput(name, value);
        }
    }

    /// <summary>The inputs that <see cref="Bind"/> binds.</summary>
    public IEnumerable<string> Inputs => _values.Select(value => value.Name);

    /// <summary>After the session is closed.</summary>
    public void Dispose()
    {
        _values.ForEach(value => value.Value.Dispose());
        _values.Clear();
        _buffers.ForEach(buffer => buffer.Dispose());
        _buffers.Clear();
    }

    private static LoadedAdapter Describe(AdapterSource source, int index, StackedModule[] modules) => new()
    {
        Name = source.Name,
        Folder = source.Folder,
        ContentHash = source.Adapter.ContentHash,
        Modules = source.Adapter.Modules.Count,
        Rank = source.Adapter.Modules.Values.Max(matrix => matrix.Rank),
        Bytes = modules.Sum(module => module.BytesOf(index)),
    };

    /// <summary>Modules in which the adapters' ranks are the same share the input that says where they begin.</summary>
    private static Dictionary<string, string> StartNames(StackedModule[] modules)
    {
        Dictionary<string, string> names = new(StringComparer.Ordinal);
        foreach (StackedModule module in modules.Where(module => !module.IsMerged))
        {
            names.TryAdd(Key(module), names.Count == 0 ? AdapterNames.AdapterStart : $"{AdapterNames.AdapterStart}.{names.Count}");
        }

        return names;
    }

    private static string Key(StackedModule module) => string.Join(',', module.Starts);

    private void Fill(string folder, StackedModule[] modules, Dictionary<string, string> starts, EngineOptions options)
    {
        foreach ((string key, string name) in starts)
        {
            int[] values = [.. key.Split(',').Select(value => int.Parse(value, CultureInfo.InvariantCulture))];
            values.CopyTo(new Span<int>((void*)Add(name, TensorElementType.Int32, values.Length), values.Length));
        }

        int adapters = Adapters.Count;
        List<Action> fillings = [];
        foreach (StackedModule module in modules)
        {
            if (module.IsMerged)
            {
                float* merged = (float*)Add(AdapterNames.Adapted(module.Name), TensorElementType.Float, adapters, module.Out, module.In);
                fillings.Add(() => module.FillMerged(merged, folder));
                continue;
            }

            int ranks = module.Ranks;
            long[] experts = module.IsExperts ? [module.Count] : [];
            float* a = (float*)Add(AdapterNames.A(module.Name), TensorElementType.Float, [.. experts, module.In, ranks]);
            float* b = (float*)Add(AdapterNames.B(module.Name), TensorElementType.Float, [.. experts, ranks, module.Out]);
            float* gain = module.HasGain ? (float*)Add(AdapterNames.Gain(module.Name), TensorElementType.Float, [.. experts, adapters, module.Out]) : null;
            for (int i = 0; i < module.Count; i++)
            {
                int expert = i;
                fillings.Add(() =>
                {
                    module.FillA(new Span<float>(a + ((long)expert * module.In * ranks), checked(module.In * ranks)), expert);
                    module.FillB(new Span<float>(b + ((long)expert * ranks * module.Out), checked(ranks * module.Out)), expert);
                    if (gain is not null)
                    {
                        module.FillGain(new Span<float>(gain + ((long)expert * adapters * module.Out), checked(adapters * module.Out)), folder, expert);
                    }
                });
            }
        }

        try
        {
            Parallel.ForEach(
                fillings, new ParallelOptions { MaxDegreeOfParallelism = options.Threads == 0 ? Environment.ProcessorCount : options.Threads }, static filling => filling());
        }
        catch (AggregateException exception)
        {
            throw exception.InnerExceptions[0] is InferenceException or CheckpointException
                ? exception.InnerExceptions[0]
                : new InferenceException($"{folder}: the adapters cannot be put beside the model: {exception.GetBaseException().Message}", exception);
        }
    }

    private nint Add(string name, TensorElementType type, params ReadOnlySpan<long> shape)
    {
        long elements = 1;
        foreach (long dimension in shape)
        {
            elements = checked(elements * dimension);
        }

        NativeBuffer buffer = new(elements * sizeof(float), $"They are for {name} of {Adapters.Count} adapters (EngineOptions.Adapters): load fewer.");
        _buffers.Add(buffer);
        _values.Add((name, OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, type, shape.ToArray(), buffer.Pointer, buffer.Bytes)));
        return buffer.Pointer;
    }
}
