using System.Collections.ObjectModel;
using System.Security.Cryptography;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A LoRA adapter in PEFT's terms: what <c>adapter_config.json</c> and <c>adapter_model.safetensors</c> hold, under the module names of the base model. Experts are always
/// apart, <c>….mlp.experts.3.down_proj</c>, however the file stores them.
/// </summary>
/// <remarks>
/// Immutable. Thread safety: all members may be called concurrently. Ownership: matrices lie in memory; <see cref="SavedModules"/> are read from the file, which stays mapped
/// until <see cref="Dispose"/>.
/// </remarks>
public sealed partial class PeftAdapter : IDisposable
{
    /// <summary>The file of the weights.</summary>
    public const string WeightsFileName = "adapter_model.safetensors";

    private readonly SafetensorsFile? _file;
    private readonly IReadOnlyDictionary<string, int> _fused;
    private readonly Lazy<string> _contentHash;

    private PeftAdapter(
        string name,
        PeftConfig config,
        AfaState? afa,
        IEnumerable<AdapterMatrix> modules,
        IEnumerable<AdapterTensor> saved,
        IReadOnlyDictionary<string, int>? fused = null,
        SafetensorsFile? file = null,
        WeightPrecision? trainedOn = null)
    {
        Name = name;
        Config = config;
        Afa = afa;
        TrainedOn = trainedOn;
        _file = file;
        _fused = fused ?? new Dictionary<string, int>();
        OrderedDictionary<string, AdapterMatrix> matrices = new(StringComparer.Ordinal);
        foreach (AdapterMatrix matrix in modules.OrderBy(m => m.Module, StringComparer.Ordinal))
        {
            if (!matrices.TryAdd(matrix.Module, matrix))
            {
                throw new AdapterException(name, matrix.Module, "is given twice, expected one pair of matrices for each module");
            }
        }

        OrderedDictionary<string, AdapterTensor> tensors = new(StringComparer.Ordinal);
        foreach (AdapterTensor tensor in saved.OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            if (!tensors.TryAdd(tensor.Name, tensor))
            {
                throw new AdapterException(name, tensor.Name, "is given twice, expected one tensor of that name");
            }
        }

        Modules = new ReadOnlyDictionary<string, AdapterMatrix>(matrices);
        SavedModules = new ReadOnlyDictionary<string, AdapterTensor>(tensors);
        _contentHash = new Lazy<string>(Hash);
    }

    /// <summary>What messages call the adapter: the folder that it was loaded from, or the name that it was created with.</summary>
    public string Name { get; }

    /// <summary>The configuration.</summary>
    public PeftConfig Config { get; }

    /// <summary>Where AFA-LoRA's annealing stands; null for an adapter that was never annealed.</summary>
    public AfaState? Afa { get; }

    /// <summary>β of AFA-LoRA: 0 for an adapter that is plain, or plain by now.</summary>
    public double Beta => Afa?.Beta ?? 0;

    /// <summary>
    /// How the base model's weights were held while the adapter was trained, where that was not as the checkpoint holds them: <see cref="WeightPrecision.W4A8"/> for an adapter trained on quantized
    /// weights. Null where nothing is recorded, as in every adapter that PEFT saved.
    /// </summary>
    public WeightPrecision? TrainedOn { get; }

    /// <summary>The matrices by module path, in ordinal order of the paths.</summary>
    public IReadOnlyDictionary<string, AdapterMatrix> Modules { get; }

    /// <summary>Whole tensors of the base model that the adapter replaces (<c>modules_to_save</c>, trained biases), by the base tensor's name, in ordinal order.</summary>
    public IReadOnlyDictionary<string, AdapterTensor> SavedModules { get; }

    /// <summary>The number of values: of all matrices and saved tensors.</summary>
    public long ParameterCount => Modules.Values.Sum(m => m.ParameterCount) + SavedModules.Values.Sum(t => t.ElementCount);

    /// <summary>SHA-256 over configuration, annealing state and all values, as 64 hexadecimal digits: two adapters that compute the same from the same files have the same.</summary>
    public string ContentHash => _contentHash.Value;

    /// <summary>Puts an adapter together.</summary>
    /// <param name="config">The configuration; ranks and scales of the matrices must be those that it gives.</param>
    /// <param name="modules">The matrices.</param>
    /// <param name="saved">Whole tensors that replace the base model's; null for none.</param>
    /// <param name="afa">Where AFA-LoRA's annealing stands; null for a plain adapter.</param>
    /// <param name="name">What messages call the adapter.</param>
    /// <param name="trainedOn">See <see cref="TrainedOn"/>.</param>
    /// <returns>The adapter.</returns>
    /// <exception cref="AdapterException">
    /// The adapter is empty; a matrix has values that are not finite, lengths that do not fit, or another rank or scale than the configuration gives; magnitudes are there
    /// without DoRA or absent with it; a name is given twice; or the configuration or the state is out of range.
    /// </exception>
    public static PeftAdapter Create(
        PeftConfig config, IEnumerable<AdapterMatrix> modules, IEnumerable<AdapterTensor>? saved = null, AfaState? afa = null, string name = "the adapter", WeightPrecision? trainedOn = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(modules);
        ArgumentException.ThrowIfNullOrEmpty(name);
        config.Check(name);
        afa?.Check(name);
        if (trainedOn is { } weights && !Enum.IsDefined(weights))
        {
            throw new AdapterException(name, $"was trained on weights {weights}, expected one of {string.Join(", ", Enum.GetNames<WeightPrecision>())}, or null");
        }

        PeftAdapter adapter = new(name, config, afa, modules, saved ?? [], trainedOn: trainedOn);
        adapter.Check();
        return adapter;
    }

    /// <summary>
    /// The adapter relative to the untouched base weights, for trainings that began with W - scale · B0 · A0 (PiSSA, arXiv 2404.02948): rank 2r, and the configuration of
    /// plain LoRA, which every reader understands.
    /// </summary>
    /// <param name="initial">The matrices at the start of training, by module path.</param>
    /// <returns>A new adapter, valid as long as this one.</returns>
    /// <exception cref="AdapterException">A module has no initial matrices or other sizes, or the adapter is DoRA.</exception>
    public PeftAdapter SubtractInitial(IReadOnlyDictionary<string, AdapterMatrix> initial)
    {
        ArgumentNullException.ThrowIfNull(initial);
        double alpha = Config.UseRsLora ? Math.Sqrt(2) : 2;
        PeftConfig config = Config with
        {
            Rank = checked(2 * Config.Rank),
            Alpha = alpha * Config.Alpha,
            RankPattern = Config.RankPattern?.ToDictionary(p => p.Key, p => checked(2 * p.Value), StringComparer.Ordinal),
            AlphaPattern = Config.AlphaPattern?.ToDictionary(p => p.Key, p => alpha * p.Value, StringComparer.Ordinal),
            InitLoraWeights = "true",
        };
        List<AdapterMatrix> modules = [];
        foreach ((string path, AdapterMatrix matrix) in Modules)
        {
            if (!initial.TryGetValue(path, out AdapterMatrix? start))
            {
                throw new AdapterException(Name, path, $"has no initial matrices among the {initial.Count} given; they are those of the same modules at the start of training");
            }

            if (start.Rank != matrix.Rank || start.In != matrix.In || start.Out != matrix.Out || matrix.Magnitude is not null)
            {
                throw new AdapterException(Name, path, matrix.Magnitude is not null
                    ? "has magnitudes: DoRA does not go with an initialization that changes the base"
                    : $"is [{matrix.Out}, {matrix.In}] of rank {matrix.Rank}, its initial matrices [{start.Out}, {start.In}] of rank {start.Rank}; expected the same");
            }

            modules.Add(matrix.SubtractInitial(start.A, start.B) with { Scale = config.ScaleOf(path) });
        }

        return Create(config, modules, SavedModules.Values, Afa, Name, TrainedOn);
    }

    /// <summary>
    /// Refuses an adapter that was trained on quantized weights. It has learned to make up for their rounding errors too, so on the weights that they were made from it is another model, whose quality
    /// nobody has measured. What merges into such weights calls this, unless it was asked to merge all the same.
    /// </summary>
    /// <exception cref="AdapterException"><see cref="TrainedOn"/> is <see cref="WeightPrecision.W4A8"/> or <see cref="WeightPrecision.Int4"/>.</exception>
    public void RequireUnquantizedBase()
    {
        if (TrainedOn is WeightPrecision.W4A8 or WeightPrecision.Int4)
        {
            throw new AdapterException(Name, $"was trained on {TrainingBase.Name(TrainedOn.Value)} weights ({TrainingBase.FileName}), so merging it into the checkpoint's own would give another model than the one that was trained. "
                + "Run it unmerged on the quantized model; or merge and quantize again (longcat quantize --adapter, ExportOptions.Precision W4A8); or ask for the merge all the same (--onto-unquantized, OntoUnquantized) and measure what it gives");
        }
    }

    /// <summary>Releases the mapping that <see cref="SavedModules"/> are read from; matrices stay usable.</summary>
    public void Dispose() => _file?.Dispose();

    /// <summary>Refuses what cannot be an adapter.</summary>
    private void Check()
    {
        if (Modules.Count + SavedModules.Count == 0)
        {
            throw new AdapterException(Name, "is empty: there is no module in it; was it saved before anything was trained, or by a run that saved another adapter?");
        }

        foreach (AdapterMatrix matrix in Modules.Values)
        {
            string? problem = matrix.Problem();
            if (problem is null && matrix.Rank != Config.RankOf(matrix.Module))
            {
                problem = $"has rank {matrix.Rank}, expected {Config.RankOf(matrix.Module)} by r ({Config.Rank}) and rank_pattern";
            }

            double scale = Config.ScaleOf(matrix.Module);
            if (problem is null && Math.Abs(matrix.Scale - scale) > 1e-9 * Math.Max(1e-30, Math.Abs(scale)))
            {
                problem = FormattableString.Invariant($"has scale {matrix.Scale:R}, expected {scale:R} by lora_alpha ({Config.Alpha:R}), r and their patterns");
            }

            if (problem is null && Config.UseDora != matrix.Magnitude is not null)
            {
                problem = Config.UseDora ? "has no magnitudes (lora_magnitude_vector), expected some: use_dora is true" : "has magnitudes (lora_magnitude_vector), although use_dora is not set";
            }

            if (problem is null && Config.LoraBias != matrix.Bias is not null && matrix.Kind == AdapterKind.Linear)
            {
                problem = Config.LoraBias ? "has no bias of B, expected one: lora_bias is true" : "has a bias of B, although lora_bias is not set";
            }

            if (problem is not null)
            {
                throw new AdapterException(Name, matrix.Module, problem);
            }
        }
    }

    private string Hash()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Config.ToBytes(Modules.Keys));
        hash.AppendData(Afa?.ToBytes(null) ?? []);
        foreach (AdapterDiskTensor tensor in DiskTensors(Modules.Values, SavedModules.Values))
        {
            hash.AppendData(Encoding.UTF8.GetBytes($"\n{tensor.Key} {tensor.Type.SafetensorsName()} {TensorEntry.ShapeText(tensor.Shape)}\n"));
            tensor.ForEachPiece(hash.AppendData);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
