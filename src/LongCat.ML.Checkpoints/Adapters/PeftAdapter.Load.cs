namespace LongCat.ML.Checkpoints;

public sealed partial class PeftAdapter
{
    private const string KeyPrefix = "base_model.model.";
    private const int ChunkElements = 1 << 20;

    /// <summary>Loads an adapter that PEFT or LongCat.ML saved.</summary>
    /// <param name="folder">
    /// The folder with adapter_config.json and adapter_model.safetensors (of a named adapter the folder of that name), or an adapter's folder in a Hugging Face cache.
    /// </param>
    /// <returns>The adapter, to be disposed by the caller.</returns>
    /// <exception cref="AdapterException">
    /// A file is missing or malformed, the adapter is empty or of a kind that is not supported, a key is not understood, a matrix is missing or of a shape that its
    /// configuration contradicts, or a value is not finite.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public static PeftAdapter Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        folder = PeftConfig.ResolveFolder(folder);
        PeftConfig config = PeftConfig.Load(folder, out AfaState? afa);
        SafetensorsFile file = OpenWeights(folder);
        try
        {
            Dictionary<string, ModuleParts> parts = new(StringComparer.Ordinal);
            List<AdapterTensor> saved = [];
            foreach (TensorEntry entry in file.Tensors.Values)
            {
                Sort(file, entry, parts, saved);
            }

            Dictionary<string, int> fused = new(StringComparer.Ordinal);
            List<AdapterMatrix> matrices = [];
            foreach (IGrouping<string?, ModuleParts> group in parts.Values.GroupBy(p => FusedModule(p.Module, config)))
            {
                matrices.AddRange(group.Key is null
                    ? group.Select(p => p.ToMatrix(file, config))
                    : FusedExperts.Split(file, group.Key, [.. group], config, fused));
            }

            PeftAdapter adapter = new(folder, config, afa, matrices, saved, fused, file, TrainingBase.Read(folder));
            adapter.Check();
            adapter.CheckSaved();
            return adapter;
        }
        catch (CheckpointException e)
        {
            file.Dispose();
            throw AdapterException.From(e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Loads an adapter for a model: <see cref="Load(string)"/>, then <see cref="For(ModelConfig)"/>.</summary>
    /// <param name="folder">As in the other overload.</param>
    /// <param name="model">The base model's config.</param>
    /// <returns>The adapter, to be disposed by the caller.</returns>
    /// <exception cref="AdapterException">As <see cref="Load(string)"/> and <see cref="For(ModelConfig)"/> throw it.</exception>
    public static PeftAdapter Load(string folder, ModelConfig model)
    {
        PeftAdapter adapter = Load(folder);
        try
        {
            return adapter.For(model);
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    private static SafetensorsFile OpenWeights(string folder)
    {
        string path = Path.Combine(folder, WeightsFileName);
        if (!File.Exists(path) && File.Exists(Path.Combine(folder, "adapter_model.bin")))
        {
            throw new AdapterException(folder, $"holds adapter_model.bin, which is not read: loading a pickle can run any program. Load the adapter with PEFT and save it "
                + $"with safe_serialization=True (the default), which writes {WeightsFileName}");
        }

        try
        {
            return SafetensorsFile.Open(path);
        }
        catch (CheckpointException e)
        {
            throw AdapterException.From(e);
        }
    }

    /// <summary>Puts one tensor of the file where it belongs.</summary>
    private static void Sort(SafetensorsFile file, TensorEntry entry, Dictionary<string, ModuleParts> parts, List<AdapterTensor> saved)
    {
        if (!AdapterTensor.IsStorable(entry.Type))
        {
            throw new AdapterException(file.Path, entry.Name, $"is {entry.Type.SafetensorsName()}, expected F32, BF16 or F16");
        }

        if (!entry.Name.StartsWith(KeyPrefix, StringComparison.Ordinal))
        {
            throw new AdapterException(file.Path, entry.Name, $"does not begin with {KeyPrefix}, expected the keys that PEFT writes; a file of another format must be converted first");
        }

        string key = entry.Name[KeyPrefix.Length..];
        foreach ((string suffix, ModulePart part) in ModuleParts.Suffixes)
        {
            if (key.EndsWith(suffix, StringComparison.Ordinal) && key.Length > suffix.Length)
            {
                string module = key[..^suffix.Length];
                if (!parts.TryGetValue(module, out ModuleParts? found))
                {
                    parts.Add(module, found = new ModuleParts(module));
                }

                found.Add(file, part, entry);
                return;
            }
        }

        if (key.Contains(".lora_", StringComparison.Ordinal))
        {
            throw new AdapterException(file.Path, entry.Name, "is a part of an adapter that is not supported; expected lora_A.weight, lora_B.weight, lora_B.bias, "
                + "lora_magnitude_vector, lora_embedding_A or lora_embedding_B. A name between (lora_A.default.weight) means that a model's own state was saved: save the adapter with PEFT's save_pretrained");
        }

        // PEFT stores the base of a wrapped embedding, and older versions the copy of a saved module, under the wrapper's name.
        string name = key.Replace(".base_layer.", ".", StringComparison.Ordinal).Replace(".modules_to_save.", ".", StringComparison.Ordinal);
        saved.Add(new AdapterTensor(name, file, entry));
    }

    /// <summary>The path of the experts that a module of the file stands for as a whole; null for a module of its own.</summary>
    private static string? FusedModule(string module, PeftConfig config)
    {
        string path = module.EndsWith(".base_layer", StringComparison.Ordinal) ? module[..^".base_layer".Length] : module;
        return config.TargetParameters is { Count: > 0 } && path.EndsWith(".experts", StringComparison.Ordinal) ? path : null;
    }

    private void CheckSaved()
    {
        float[] buffer = new float[SavedModules.Count == 0 ? 0 : ChunkElements];
        foreach (AdapterTensor tensor in SavedModules.Values)
        {
            for (long first = 0; first < tensor.ElementCount; first += buffer.Length)
            {
                Span<float> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.ElementCount - first));
                tensor.ReadFloat32(first, piece);
                if (TensorConversion.CountNonFinite(piece) is var (nan, infinity) && nan + infinity > 0)
                {
                    throw new AdapterException(Name, tensor.Name, $"holds {nan} NaN and {infinity} infinite values from element {first} on, expected finite ones: the training diverged or the file is damaged");
                }
            }
        }
    }
}
