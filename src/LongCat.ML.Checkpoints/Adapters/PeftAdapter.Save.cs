using System.Text;

namespace LongCat.ML.Checkpoints;

public sealed partial class PeftAdapter
{
    private static readonly string[] OwnFiles = [PeftConfig.FileName, WeightsFileName, AfaState.FileName, TrainingBase.FileName, "adapter_model.bin"];
    private static readonly FolderRule Rule = new("an adapter", folder => OwnFiles.Any(name => File.Exists(Path.Combine(folder, name))));

    /// <summary>Saves the adapter as PEFT does. The folder is whole or absent: it is written beside its final name and renamed.</summary>
    /// <param name="folder">
    /// The folder. An adapter that is there is replaced, other files beside it (a README.md, named adapters in folders of their own) stay; a folder with other files only is refused.
    /// </param>
    /// <param name="layout">How experts are stored; null as they were read, which is <see cref="ExpertLayout.PerExpert"/> for adapters made in memory.</param>
    /// <param name="model">The base model's config: needed for <see cref="ExpertLayout.Fused"/> unless the adapter was read that way, to know how many experts there are.</param>
    /// <remarks>
    /// An adapter that is still annealing (<see cref="Beta"/> not 0) would compute something else as plain LoRA: its configuration is written into afa_state.json instead of
    /// adapter_config.json, so that only readers that know of it find an adapter.
    /// </remarks>
    /// <exception cref="AdapterException">The folder may not be replaced or cannot be written, or experts cannot be stored as asked.</exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public void Save(string folder, ExpertLayout? layout = null, ModelConfig? model = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        (PeftConfig config, IReadOnlyList<AdapterMatrix> matrices) = Stored(layout ?? (_fused.Count > 0 ? ExpertLayout.Fused : ExpertLayout.PerExpert), model);
        byte[] json = config.ToBytes(matrices.Select(m => m.Module));
        CheckOrder(config, json, matrices);
        string final = PartialFolder.FullPath(folder);
        if (Rule.Problem(final, overwrite: true) is { } problem)
        {
            throw new AdapterException(final, problem);
        }

        try
        {
            using PartialFolder partial = new(final);
            AdapterDiskTensor[] tensors = [.. DiskTensors(matrices, SavedModules.Values)];
            using (SafetensorsWriter writer = SafetensorsWriter.Create(
                Path.Combine(partial.Path, WeightsFileName), tensors.Select(t => t.Declaration), new Dictionary<string, string> { ["format"] = "pt" }))
            {
                foreach (AdapterDiskTensor tensor in tensors)
                {
                    using Stream stream = writer.OpenTensor(tensor.Key);
                    tensor.ForEachPiece(piece => stream.Write(piece));
                }

                writer.Complete();
            }

            if (Beta == 0)
            {
                File.WriteAllBytes(Path.Combine(partial.Path, PeftConfig.FileName), json);
            }

            if (Afa is not null)
            {
                File.WriteAllBytes(Path.Combine(partial.Path, AfaState.FileName), Afa.ToBytes(Beta == 0 ? null : Encoding.ASCII.GetString(json)));
            }

            if (TrainedOn is { } weights)
            {
                File.WriteAllBytes(Path.Combine(partial.Path, TrainingBase.FileName), TrainingBase.ToBytes(weights));
            }

            partial.Commit(replace: true, OwnFiles);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CheckpointException)
        {
            throw new AdapterException(final, $"cannot be written: {e.Message}", e);
        }
    }

    /// <summary>The tensors of the file under PEFT's keys, in its order.</summary>
    private static IEnumerable<AdapterDiskTensor> DiskTensors(IEnumerable<AdapterMatrix> matrices, IEnumerable<AdapterTensor> saved)
    {
        List<AdapterDiskTensor> tensors = [];
        foreach (AdapterMatrix m in matrices)
        {
            string key = KeyPrefix + m.Module;
            bool embedding = m.Kind == AdapterKind.Embedding;
            tensors.Add(new AdapterDiskTensor(key + (embedding ? ".lora_embedding_A" : ".lora_A.weight"), m.Type, [m.Rank, m.In], m.A));
            tensors.Add(new AdapterDiskTensor(key + (embedding ? ".lora_embedding_B" : ".lora_B.weight"), m.Type, [m.Out, m.Rank], m.B));
            if (m.Bias is not null)
            {
                tensors.Add(new AdapterDiskTensor(key + ".lora_B.bias", m.Type, [m.Out], m.Bias));
            }

            if (m.Magnitude is not null)
            {
                tensors.Add(new AdapterDiskTensor(key + ".lora_magnitude_vector", m.Type, [m.Out], m.Magnitude));
            }
        }

        tensors.AddRange(saved.Select(t => new AdapterDiskTensor(t.DiskKey ?? KeyPrefix + t.Name, t.Type, t.Shape, t.ReadFloat32)));
        return tensors.OrderBy(t => t.Key, StringComparer.Ordinal);
    }

    private (PeftConfig Config, IReadOnlyList<AdapterMatrix> Matrices) Stored(ExpertLayout layout, ModelConfig? model) => layout switch
    {
        ExpertLayout.Fused => FusedExperts.Join(Name, Config, [.. Modules.Values], _fused, model),
        _ => _fused.Count == 0 ? (Config, [.. Modules.Values]) : (FusedExperts.Apart(Config, [.. Modules.Values]), [.. Modules.Values]),
    };

    /// <summary>PEFT sorts the keys of patterns and takes the first that matches: an order that means something would be lost in the file.</summary>
    private void CheckOrder(PeftConfig config, byte[] json, IReadOnlyList<AdapterMatrix> matrices)
    {
        if (config.RankPattern is not { Count: > 1 } && config.AlphaPattern is not { Count: > 1 })
        {
            return;
        }

        PeftConfig read = PeftConfig.Parse(Encoding.ASCII.GetString(json), Name);
        foreach (string module in matrices.Select(m => m.Module))
        {
            if (read.RankOf(module) != config.RankOf(module) || read.AlphaOf(module) != config.AlphaOf(module))
            {
                throw new AdapterException(Name, module, "is matched by several keys of rank_pattern or alpha_pattern with different values, and the file keeps no order of keys; "
                    + "write the keys so that one of them matches each module");
            }
        }
    }
}
