using System.Globalization;
using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Onnx.Adapters;

/// <summary>
/// A graph with the longcat operators that was exported without adapters, and how it takes them: <see cref="Insert"/> puts a LoraMatMul behind the products that it is told
/// (docs/design.md section 4). The folder's data file serves both graphs.
/// </summary>
/// <remarks>Thread safety: immutable; any number of threads may read and insert at once.</remarks>
public sealed partial class AdapterGraph
{
    /// <summary>The key of the model's metadata that says that weights are not those of the checkpoint: an equalization moved factors between norms and matrices.</summary>
    internal const string EqualizedKey = "longcat.equalized";

    private const string WeightSuffix = ".weight", Int8Suffix = ".int8", HeadModule = "lm_head", LogitsOutput = "logits";
    private const string MixtureOperator = "ExpertMixture";
    private const int RouterInput = 1, GateInput = 3, DownInput = 5;
    private readonly string _path;
    private readonly ModelProto _model;
    private readonly Dictionary<string, (AdaptableModule Module, int Node)> _modules;
    private readonly HashSet<string> _folded;

    /// <param name="path">What errors call the graph.</param>
    /// <param name="model">It.</param>
    internal AdapterGraph(string path, ModelProto model)
    {
        _path = path;
        _model = model;
        _modules = Scan(model);
        _folded = Folded(model);
        foreach ((string module, (AdaptableModule Module, int Node) found) in _folded.Count > 0 ? Scan(Unfold(model, _folded)) : [])
        {
            _modules.TryAdd(module, found);
        }

        Modules = _modules.ToDictionary(pair => pair.Key, pair => pair.Value.Module, StringComparer.Ordinal);
    }

    /// <summary>The modules that can take adapters, by their path in the checkpoint.</summary>
    public IReadOnlyDictionary<string, AdaptableModule> Modules { get; }

    /// <summary>Reads a graph.</summary>
    /// <param name="path">model.onnx or draft.onnx of an exported folder.</param>
    /// <returns>The graph.</returns>
    /// <exception cref="CheckpointException">The file is no ONNX model.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static AdapterGraph Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Parse(File.ReadAllBytes(path), path);
    }

    /// <summary>Reads a graph from memory.</summary>
    /// <param name="model">The bytes of model.onnx.</param>
    /// <param name="path">What errors call it.</param>
    /// <returns>The graph.</returns>
    /// <exception cref="CheckpointException">The bytes are no ONNX model.</exception>
    public static AdapterGraph Parse(ReadOnlySpan<byte> model, string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            ModelProto parsed = ModelProto.Parser.ParseFrom(model);
            return parsed.Graph is { Node.Count: > 0 } ? new AdapterGraph(path, parsed) : throw new CheckpointException(path, "the file holds no graph, expected an ONNX model.");
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new CheckpointException(path, $"the file is no ONNX model: {exception.Message}", exception);
        }
    }

    /// <summary>A module that can take adapters.</summary>
    /// <param name="module">Its path in the checkpoint.</param>
    /// <returns>The module.</returns>
    /// <exception cref="CheckpointException">The graph cannot take adapters of it; the message says why and what to do.</exception>
    public AdaptableModule Find(string module)
    {
        ArgumentNullException.ThrowIfNull(module);
        if (Modules.TryGetValue(module, out AdaptableModule? found))
        {
            return found;
        }

        if (Modules.TryGetValue(WithoutExpert(module), out found))
        {
            string last = WithoutExpert(module) == module ? "" : module[(module.IndexOf(".experts.", StringComparison.Ordinal) + 9)..module.LastIndexOf('.')];
            if (int.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out int expert) && expert < found.Experts)
            {
                return found;
            }
        }

        string reason = module switch
        {
            _ when _model.Graph.Node.All(node => node.Domain != GraphBuilder.LongCatDomain) =>
                "a graph with standard operators has inputs only for the adapters of attention, MLPs and head, and only those that it was exported with (longcat export --adapter-inputs)",
            _ when found is not null => $"it has the experts 0..{found.Experts - 1} there",
            _ when module.Contains(".router", StringComparison.Ordinal) || module.EndsWith(".mlp.gate", StringComparison.Ordinal) || module.EndsWith("block_sparse_moe.gate", StringComparison.Ordinal) =>
                "routers are computed inside ExpertMixture, which takes adapters of its experts alone",
            _ when module.EndsWith("embed_tokens", StringComparison.Ordinal) || module.Contains("ngram", StringComparison.Ordinal) => "embeddings take no adapters at run time",
            _ => $"it has no such product; near names: {string.Join(", ", NearNames.Of(module, Modules.Keys))}",
        };
        throw new CheckpointException(_path, $"the graph cannot take an adapter of {module}: {reason}. Merge the adapter into the model instead: longcat export <checkpoint> --adapter <peft folder>.");
    }

    /// <summary>What a module of one expert is called for all of them, as in <see cref="Modules"/>: <c>….experts.3.up_proj</c> is <c>….experts.up_proj</c>. Others keep their name.</summary>
    /// <param name="module">The module's path in the checkpoint.</param>
    /// <returns>The name.</returns>
    public static string WithoutExpert(string module)
    {
        ArgumentNullException.ThrowIfNull(module);
        const string Experts = ".experts.";
        int at = module.IndexOf(Experts, StringComparison.Ordinal), end = at < 0 ? -1 : module.IndexOf('.', at + Experts.Length);
        return end > 0 && module.AsSpan((at + Experts.Length)..end) is { IsEmpty: false } number && !number.ContainsAnyExceptInRange('0', '9')
            ? $"{module[..(at + Experts.Length)]}{module[(end + 1)..]}"
            : module;
    }

    private static Dictionary<string, (AdaptableModule Module, int Node)> Scan(ModelProto model)
    {
        Dictionary<string, TensorProto> initializers = model.Graph.Initializer.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        Dictionary<string, (AdaptableModule Module, int Node)> modules = new(StringComparer.Ordinal);
        for (int i = 0; i < model.Graph.Node.Count; i++)
        {
            NodeProto node = model.Graph.Node[i];
            if (node.Domain == GraphBuilder.LongCatDomain && node.OpType == MixtureOperator)
            {
                ScanExperts(node, i, initializers, modules);
                continue;
            }

            if (node.Domain != GraphBuilder.LongCatDomain || Operators.GetValueOrDefault(node.OpType) is not { } shape || node.Input.Count <= shape.Weight
                || !initializers.TryGetValue(node.Input[shape.Weight], out TensorProto? weight) || Describe(weight) is not { } tensor)
            {
                continue;
            }

            string module = ModuleOf(node, weight.Name);
            AdaptableModule described = new()
            {
                Module = module,
                Kind = node.OpType == "LatentAttention" ? AdaptableModuleKind.LatentValues : module == HeadModule ? AdaptableModuleKind.Head : AdaptableModuleKind.Projection,
                Operator = node.OpType,
                InFeatures = Attribute(node, "in_features") ?? InFeatures(weight, Attribute(node, "layout") ?? 0),
                OutFeatures = Attribute(node, "out_features") ?? weight.Dims[0],
                Weight = tensor,
                Scale = shape.Scale > 0 && initializers.TryGetValue(node.Input[shape.Scale], out TensorProto? scale) ? Describe(scale) : null,
                Layout = Attribute(node, "layout") ?? 0,
                GroupSize = (int)(Attribute(node, "group_size") ?? 0),
                GroupScaleBytes = (int)(Attribute(node, "group_scale_bytes") ?? 0),
                HasBias = shape.Bias > 0 && node.Input.Count > shape.Bias && node.Input[shape.Bias].Length > 0,
            };
            modules.TryAdd(module, (described, i));
        }

        return modules;
    }

    /// <summary>The three projections of a mixture's experts.</summary>
    private static void ScanExperts(NodeProto node, int index, Dictionary<string, TensorProto> initializers, Dictionary<string, (AdaptableModule Module, int Node)> modules)
    {
        long layout = Attribute(node, "layout") ?? 0;
        if (node.Input.Count <= DownInput || !initializers.TryGetValue(node.Input[RouterInput], out TensorProto? router)
            || !initializers.TryGetValue(node.Input[GateInput], out TensorProto? gate))
        {
            return;
        }

        long hidden = router.Dims[1], inner = Attribute(node, "intermediate_size") ?? gate.Dims[1];
        for (int input = GateInput; input <= DownInput; input++)
        {
            int scaleInput = input + DownInput - GateInput + 1;
            if (!initializers.TryGetValue(node.Input[input], out TensorProto? stack) || Describe(stack) is not { } tensor)
            {
                continue;
            }

            string module = ModuleOf(node, stack.Name);
            AdaptableModule described = new()
            {
                Module = module,
                Kind = AdaptableModuleKind.Experts,
                Operator = node.OpType,
                InFeatures = input == DownInput ? inner : hidden,
                OutFeatures = input == DownInput ? hidden : inner,
                Weight = tensor,
                Scale = node.Input.Count > scaleInput && initializers.TryGetValue(node.Input[scaleInput], out TensorProto? scale) ? Describe(scale) : null,
                Layout = layout,
                GroupSize = (int)(Attribute(node, "group_size") ?? 0),
                GroupScaleBytes = (int)(Attribute(node, "group_scale_bytes") ?? 0),
                Experts = (int)(Attribute(node, "num_experts") ?? stack.Dims[0]),
            };
            modules.TryAdd(module, (described, index));
        }
    }

    /// <summary>A tied head reads the embedding's table: the node that gives the logits is the head whatever its matrix is called.</summary>
    private static string ModuleOf(NodeProto node, string weight)
    {
        if (node.Output[0] == LogitsOutput)
        {
            return HeadModule;
        }

        string name = weight.EndsWith(Int8Suffix, StringComparison.Ordinal) ? weight[..^Int8Suffix.Length] : weight;
        return name.EndsWith(WeightSuffix, StringComparison.Ordinal) ? name[..^WeightSuffix.Length] : name;
    }

    private static long InFeatures(TensorProto weight, long layout) =>
        layout == 0 ? weight.Dims[^1] : weight.Dims.Count == 4 ? weight.Dims[1] * weight.Dims[3] : weight.Dims[1];

    private static long? Attribute(NodeProto node, string name) => node.Attribute.FirstOrDefault(attribute => attribute.Name == name) is { HasI: true } found ? found.I : null;

    private static AdaptableTensor? Describe(TensorProto tensor)
    {
        Dictionary<string, string> external = tensor.ExternalData.ToDictionary(entry => entry.Key, entry => entry.Value, StringComparer.Ordinal);
        return external.TryGetValue("location", out string? location) && external.TryGetValue("length", out string? length)
            && long.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes)
            && long.TryParse(external.GetValueOrDefault("offset", "0"), NumberStyles.None, CultureInfo.InvariantCulture, out long offset)
                ? new AdaptableTensor(tensor.Name, tensor.DataType, [.. tensor.Dims], location, offset, bytes)
                : null;
    }
}
