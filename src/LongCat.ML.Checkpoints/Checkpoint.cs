namespace LongCat.ML.Checkpoints;

/// <summary>
/// A checkpoint folder: <c>config.json</c> and the tensors of <c>model.safetensors</c>, or of the shards that
/// <c>model.safetensors.index.json</c> names. Opening reads headers only; call <see cref="Validate(bool?)"/> to hold the tensors against the config.
/// </summary>
/// <remarks>
/// Thread safety: all reading members may be called concurrently. Ownership: the files are mapped until <see cref="Dispose"/>; spans and
/// pointers are valid until then.
/// </remarks>
public sealed partial class Checkpoint : IDisposable
{
    private const string SingleFileName = "model.safetensors";
    private const string MtpLayerPrefix = "model.mtp.layers.";

    private readonly List<SafetensorsFile> files;
    private readonly Dictionary<string, SafetensorsFile> owners;
    private readonly Dictionary<string, TensorEntry> tensors;
    private bool disposed;

    private Checkpoint(string folder, ModelConfig config, List<SafetensorsFile> files, Dictionary<string, SafetensorsFile> owners)
    {
        Folder = folder;
        this.files = files;
        this.owners = owners;
        tensors = new Dictionary<string, TensorEntry>(owners.Count, StringComparer.Ordinal);
        foreach ((string name, SafetensorsFile file) in owners)
        {
            tensors.Add(name, file.Tensors[name]);
        }

        Config = FollowTensors(config);
    }

    /// <summary>The folder that holds config.json and the weights: the one given, or the snapshot chosen in a download cache.</summary>
    public string Folder { get; }

    /// <summary>
    /// The config. Two of its facts follow the tensors: <see cref="ModelConfig.MtpLayers"/> is 0 when the checkpoint has no
    /// MTP tensors and at least 1 when it has, and the naming of the n-gram tensors is the one found.
    /// </summary>
    public ModelConfig Config { get; }

    /// <summary>All tensors by name, over all files.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => tensors;

    /// <summary>The open files, in ordinal order of their names.</summary>
    public IReadOnlyList<SafetensorsFile> Files => files;

    /// <summary>Opens a checkpoint folder.</summary>
    /// <param name="folder">The folder that holds config.json and the weights, or a model's folder in a Hugging Face cache (see <see cref="HuggingFaceCache.Resolve"/>).</param>
    /// <param name="adjust">Changes the config after it was read, for instance <c>LatentNormEps</c>; null to take it as it is.</param>
    /// <returns>The open checkpoint, to be disposed by the caller.</returns>
    /// <exception cref="CheckpointException">
    /// The folder, config.json, the weights or a shard is missing or malformed; the index points outside the folder, names a tensor that its
    /// shard lacks, or two shards hold the same tensor.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public static Checkpoint Open(string folder, Func<ModelConfig, ModelConfig>? adjust = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (!Directory.Exists(folder))
        {
            throw new CheckpointException(folder, "the folder does not exist, expected one with config.json and model.safetensors");
        }

        folder = HuggingFaceCache.Resolve(folder);
        ModelConfig config = ModelConfig.Load(folder);
        config = adjust?.Invoke(config) ?? config;
        List<SafetensorsFile> files = [];
        try
        {
            Dictionary<string, SafetensorsFile> owners = OpenFiles(folder, files);
            return new Checkpoint(folder, config, files, owners);
        }
        catch
        {
            files.ForEach(f => f.Dispose());
            throw;
        }
    }

    /// <summary>Whether the checkpoint holds a tensor of that name.</summary>
    /// <param name="name">The name, compared ordinally.</param>
    /// <returns>True when it does.</returns>
    public bool Contains(string name) => tensors.ContainsKey(name);

    /// <summary>The entry of a tensor.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>The entry.</returns>
    /// <exception cref="CheckpointException">The checkpoint holds no such tensor.</exception>
    public TensorEntry Entry(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return tensors.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new CheckpointException(Folder, name, $"missing from the checkpoint, which holds {tensors.Count} tensors");
    }

    /// <summary>Releases all mappings. Spans and pointers into them must not be used any more.</summary>
    public void Dispose()
    {
        disposed = true;
        files.ForEach(f => f.Dispose());
    }

    private static Dictionary<string, SafetensorsFile> OpenFiles(string folder, List<SafetensorsFile> files)
    {
        Dictionary<string, SafetensorsFile> owners = new(StringComparer.Ordinal);
        string single = System.IO.Path.Combine(folder, SingleFileName);
        string index = System.IO.Path.Combine(folder, ShardIndex.FileName);
        if (File.Exists(single))
        {
            SafetensorsFile file = SafetensorsFile.Open(single);
            files.Add(file);
            foreach (string name in file.Tensors.Keys)
            {
                owners.Add(name, file);
            }

            return owners;
        }

        if (!File.Exists(index))
        {
            throw new CheckpointException(folder, $"the folder holds neither {SingleFileName} nor {ShardIndex.FileName}");
        }

        Dictionary<string, string> map = ShardIndex.Read(index);
        string[] shards = [.. map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        string[] absent = [.. shards.Where(s => !File.Exists(System.IO.Path.Combine(folder, s)))];
        if (absent.Length > 0)
        {
            throw new CheckpointException(index,
                $"the index names {string.Join(", ", absent.Take(8))}, which {(absent.Length == 1 ? "is" : "are")} not there "
                + $"({absent.Length} of {shards.Length} shards missing)");
        }

        Dictionary<string, SafetensorsFile> byShard = new(StringComparer.Ordinal);
        foreach (string shard in shards)
        {
            SafetensorsFile file = SafetensorsFile.Open(System.IO.Path.Combine(folder, shard));
            files.Add(file);
            byShard.Add(shard, file);
            foreach (string name in file.Tensors.Keys)
            {
                if (!owners.TryAdd(name, file))
                {
                    throw new CheckpointException(file.Path, name, $"is in two shards, this one and {owners[name].Path}");
                }
            }
        }

        foreach ((string name, string shard) in map)
        {
            if (!byShard[shard].Contains(name))
            {
                throw new CheckpointException(byShard[shard].Path, name, owners.TryGetValue(name, out SafetensorsFile? other)
                    ? $"the index says this shard, but it is in {other.Path}"
                    : "the index says this shard, but the shard does not hold it");
            }
        }

        return owners;
    }

    private ModelConfig FollowTensors(ModelConfig config)
    {
        bool hasMtp = tensors.Keys.Any(n => n.StartsWith(MtpLayerPrefix, StringComparison.Ordinal));
        config = config with { MtpLayers = hasMtp ? Math.Max(1, config.MtpLayers) : 0 };
        if (config is LongcatFlashConfig { NGram: { } ngram } flash)
        {
            foreach (NGramTensorNaming naming in Enum.GetValues<NGramTensorNaming>())
            {
                NGramConfig candidate = ngram with { Naming = naming };
                if (Contains(candidate.TableName(0)))
                {
                    return flash with { NGram = candidate };
                }
            }
        }

        return config;
    }
}
