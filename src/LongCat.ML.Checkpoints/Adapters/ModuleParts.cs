namespace LongCat.ML.Checkpoints;

/// <summary>What a tensor of an adapter's file is to its module.</summary>
internal enum ModulePart
{
    A,
    B,
    Bias,
    Magnitude,
    EmbeddingA,
    EmbeddingB,
}

/// <summary>The tensors that an adapter's file has for one module.</summary>
internal sealed class ModuleParts(string module)
{
    private readonly Dictionary<ModulePart, TensorEntry> _entries = [];

    /// <summary>How keys end. The last spelling of the magnitudes is that of PEFT's modules in memory, which it reads as well.</summary>
    public static readonly (string Suffix, ModulePart Part)[] Suffixes =
    [
        (".lora_A.weight", ModulePart.A),
        (".lora_B.weight", ModulePart.B),
        (".lora_B.bias", ModulePart.Bias),
        (".lora_magnitude_vector", ModulePart.Magnitude),
        (".lora_magnitude_vector.weight", ModulePart.Magnitude),
        (".lora_embedding_A", ModulePart.EmbeddingA),
        (".lora_embedding_B", ModulePart.EmbeddingB),
    ];

    public string Module { get; } = module;

    public void Add(SafetensorsFile file, ModulePart part, TensorEntry entry)
    {
        if (!_entries.TryAdd(part, entry))
        {
            throw new AdapterException(file.Path, entry.Name, $"is there a second time, as {_entries[part].Name}");
        }
    }

    public AdapterMatrix ToMatrix(SafetensorsFile file, PeftConfig config)
    {
        bool embedding = _entries.ContainsKey(ModulePart.EmbeddingA) || _entries.ContainsKey(ModulePart.EmbeddingB);
        (TensorEntry a, TensorEntry b) = embedding ? Pair(file, ModulePart.EmbeddingA, ModulePart.EmbeddingB) : Pair(file, ModulePart.A, ModulePart.B);
        if (embedding && (_entries.ContainsKey(ModulePart.A) || _entries.ContainsKey(ModulePart.B)))
        {
            throw new AdapterException(file.Path, Module, "has matrices of a projection and of an embedding, expected one pair");
        }

        int rank = config.RankOf(Module);
        if (a.Shape[0] != rank)
        {
            throw new AdapterException(file.Path, a.Name, $"has shape {TensorEntry.ShapeText(a.Shape)}, expected rank {rank} by r ({config.Rank}) and rank_pattern: the configuration is that of another adapter");
        }

        if (b.Shape[1] != rank)
        {
            throw new AdapterException(file.Path, b.Name, $"has shape {TensorEntry.ShapeText(b.Shape)}, expected [out, {rank}] like its A {TensorEntry.ShapeText(a.Shape)}");
        }

        (int columns, int rows) = (checked((int)a.Shape[1]), checked((int)b.Shape[0]));
        return new AdapterMatrix
        {
            Module = Module,
            Kind = embedding ? AdapterKind.Embedding : AdapterKind.Linear,
            Rank = rank,
            Scale = config.ScaleOf(Module),
            In = columns,
            Out = rows,
            A = file.ReadFloat32(a.Name),
            B = file.ReadFloat32(b.Name),
            Magnitude = Vector(file, ModulePart.Magnitude, rows),
            Bias = Vector(file, ModulePart.Bias, rows),
            Type = a.Type,
        };
    }

    /// <summary>Both matrices, as matrices of one type.</summary>
    public (TensorEntry A, TensorEntry B) Pair(SafetensorsFile file, ModulePart first, ModulePart second)
    {
        foreach ((ModulePart part, ModulePart other) in new[] { (first, second), (second, first) })
        {
            if (!_entries.ContainsKey(part))
            {
                throw new AdapterException(file.Path, Module, _entries.TryGetValue(other, out TensorEntry? there)
                    ? $"has {there.Name} and no lora_{(part is ModulePart.A ? "A.weight" : part is ModulePart.B ? "B.weight" : part is ModulePart.EmbeddingA ? "embedding_A" : "embedding_B")} beside it: the file is not whole"
                    : "has neither lora_A.weight nor lora_B.weight: the file is not whole");
            }
        }

        (TensorEntry a, TensorEntry b) = (_entries[first], _entries[second]);
        foreach (TensorEntry entry in new[] { a, b })
        {
            if (entry.Shape.Count != 2 || entry.Shape.Any(d => d is < 1 or > int.MaxValue))
            {
                throw new AdapterException(file.Path, entry.Name, $"has shape {TensorEntry.ShapeText(entry.Shape)}, expected a matrix");
            }
        }

        return a.Type == b.Type ? (a, b) : throw new AdapterException(file.Path, b.Name, $"is {b.Type.SafetensorsName()} and its A {a.Type.SafetensorsName()}, expected one type");
    }

    private float[]? Vector(SafetensorsFile file, ModulePart part, int length)
    {
        if (!_entries.TryGetValue(part, out TensorEntry? entry))
        {
            return null;
        }

        return entry.Shape.Count == 1 && entry.ElementCount == length
            ? file.ReadFloat32(entry.Name)
            : throw new AdapterException(file.Path, entry.Name, $"has shape {TensorEntry.ShapeText(entry.Shape)}, expected [{length}], one value for each output");
    }
}
