namespace LongCat.ML.Checkpoints;

public sealed partial class Checkpoint
{
    private readonly Dictionary<string, MergedTensor> merged = new(StringComparer.Ordinal);

    /// <summary>The adapters that are merged into what is read; empty for the checkpoint as it is.</summary>
    public IReadOnlyList<PeftAdapter> Adapters { get; private set; } = [];

    /// <summary>The tensors that adapters change, in ordinal order; empty without adapters.</summary>
    public IEnumerable<string> MergedTensors => merged.Keys.Order(StringComparer.Ordinal);

    /// <summary>Opens a checkpoint with adapters merged into it. Nothing is computed before a tensor is read, and nothing is written.</summary>
    /// <param name="folder">As in the other overload.</param>
    /// <param name="adapters">The adapters, merged one after another. They must stay undisposed as long as the checkpoint is read.</param>
    /// <param name="adjust">As in the other overload.</param>
    /// <returns>
    /// The open checkpoint, to be disposed by the caller. <see cref="ReadFloat32(string)"/> and <see cref="CopyTo"/> give the merged values, W + scale · B · A, rounded once to the
    /// type that the tensor is stored in; <see cref="GetBytes"/> and <see cref="GetPointer"/> refuse tensors that are changed. Entries, shapes and config are those of the base.
    /// </returns>
    /// <exception cref="CheckpointException">As the other overload throws it.</exception>
    /// <exception cref="AdapterException">
    /// An adapter does not fit the model, is still annealing (AFA-LoRA with β above 0: its function is not linear, so no weight computes it), or changes a tensor that is stored quantized.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public static Checkpoint Open(string folder, IReadOnlyList<PeftAdapter> adapters, Func<ModelConfig, ModelConfig>? adjust = null)
    {
        ArgumentNullException.ThrowIfNull(adapters);
        Checkpoint checkpoint = Open(folder, adjust);
        try
        {
            checkpoint.Adapters = [.. adapters.Select(checkpoint.Merge)];
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    private PeftAdapter Merge(PeftAdapter given)
    {
        ArgumentNullException.ThrowIfNull(given);
        if (given.Beta != 0)
        {
            throw new AdapterException(given.Name, FormattableString.Invariant(
                $"is still annealing: β is {given.Beta:R} after step {given.Afa!.Step} of {given.Afa.TotalSteps}, and merging is exact at 0 only. Train it to the end of its annealing, or use it unmerged"));
        }

        PeftAdapter adapter = given.For(Config);
        foreach (AdapterTensor tensor in adapter.SavedModules.Values)
        {
            Merged(adapter, tensor.Name, tensor.Shape).Replace(adapter.Name, tensor);
        }

        foreach (AdapterMatrix matrix in adapter.Modules.Values)
        {
            long[] shape = matrix.Kind == AdapterKind.Linear ? [matrix.Out, matrix.In] : [matrix.In, matrix.Out];
            Merged(adapter, matrix.Module + ".weight", shape).AddWeight(adapter.Name, matrix);
            if (matrix.Bias is not null)
            {
                Merged(adapter, matrix.Module + ".bias", [matrix.Out]).AddBias(adapter.Name, matrix);
            }
        }

        return adapter;
    }

    private MergedTensor Merged(PeftAdapter adapter, string name, IReadOnlyList<long> shape)
    {
        if (merged.TryGetValue(name, out MergedTensor? found))
        {
            return found;
        }

        TensorEntry entry = Entry(name);
        if (entry.Type is not (TensorType.Float32 or TensorType.BFloat16 or TensorType.Float16 or TensorType.Float64))
        {
            throw new AdapterException(adapter.Name, name, $"is stored as {entry.Type.SafetensorsName()} in {entry.File}, expected F32, BF16 or F16: an adapter cannot be merged into quantized weights without "
                + "losing most of it. Merge it into the checkpoint that they were made from");
        }

        if (!TensorEntry.SameShape(entry.Shape, shape))
        {
            throw new AdapterException(adapter.Name, name, $"expected {TensorEntry.ShapeText(shape)} in the checkpoint, got {TensorEntry.ShapeText(entry.Shape)} in {entry.File}");
        }

        MergedTensor tensor = new(entry, (first, destination) => ReadStored(entry, first, destination));
        merged.Add(name, tensor);
        return tensor;
    }

    /// <summary>The raw bytes of a changed tensor are the base's, which nobody who opened it with adapters can want.</summary>
    private void RefuseMerged(string name)
    {
        if (merged.ContainsKey(name))
        {
            throw new InvalidOperationException($"tensor {name} is changed by an adapter; read it with ReadFloat32 or CopyTo, its bytes in the file are those of the base");
        }
    }
}
