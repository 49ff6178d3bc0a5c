using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>Loading from and saving to the Hugging Face layout.</content>
public abstract partial class CausalLanguageModel
{
    /// <summary>Loads a checkpoint folder of any family.</summary>
    /// <param name="folder">The folder with config.json and the weights, or a model's folder in a Hugging Face cache.</param>
    /// <returns>A model in float32, owned by the caller.</returns>
    /// <exception cref="CheckpointException">The checkpoint is malformed, or its tensors do not fit its config.</exception>
    public static CausalLanguageModel Load(string folder)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return Load(checkpoint);
    }

    /// <summary>Loads an open checkpoint of any family; every tensor is checked against the config first, and widened to float32.</summary>
    /// <param name="checkpoint">The checkpoint, which stays the caller's.</param>
    /// <returns>A model in float32, owned by the caller. It has a draft head when the checkpoint has one.</returns>
    /// <exception cref="CheckpointException">The checkpoint's tensors do not fit its config.</exception>
    public static CausalLanguageModel Load(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        checkpoint.Validate();
        var model = Create(checkpoint.Config);
        try
        {
            using var scope = NewDisposeScope();
            using var frozen = no_grad();
            foreach (var (name, value) in model.state_dict())
            {
                checkpoint.ReadFloat32(model.StoredName(name), MemoryMarshal.Cast<byte, float>(value.bytes));
            }

            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Writes <c>config.json</c> and <c>model.safetensors</c>; the weights' file appears under its name when it is whole.</summary>
    /// <param name="folder">The folder, created when absent.</param>
    /// <param name="configJson">The text of config.json, as this model's config was read from.</param>
    /// <param name="type"><see cref="TensorType.Float32"/> or <see cref="TensorType.BFloat16"/>; routers stay float32.</param>
    /// <exception cref="CheckpointException">The folder or a file cannot be written.</exception>
    /// <exception cref="ArgumentException">Another type.</exception>
    public void Save(string folder, string configJson, TensorType type)
    {
        if (type is not (TensorType.Float32 or TensorType.BFloat16))
        {
            throw new ArgumentException($"weights can be saved as Float32 or BFloat16, not {type}", nameof(type));
        }

        Directory.CreateDirectory(folder);
        using var scope = NewDisposeScope();
        HashSet<string> routers = [.. Config.ExpectedTensors(withMtp: true).Where(t => t.Group == TensorGroup.Router).Select(t => t.Name)];
        List<(string Name, Tensor Value)> state = [.. state_dict().Select(t => (StoredName(t.Key), t.Value)), .. Copies()];
        using (var writer = SafetensorsWriter.Create(
            Path.Combine(folder, "model.safetensors"),
            state.Select(t => new TensorDeclaration(t.Name, routers.Contains(t.Name) ? TensorType.Float32 : type, t.Value.shape)),
            new Dictionary<string, string> { ["format"] = "pt" }))
        {
            foreach (var (name, value) in state)
            {
                writer.Write(name, MemoryMarshal.Cast<byte, float>(value.bytes));
            }

            writer.Complete();
        }

        string config = Path.Combine(folder, "config.json");
        File.WriteAllText(config + ".partial", configJson);
        File.Move(config + ".partial", config, overwrite: true);
    }

    /// <summary>The name in the checkpoint of a tensor of the state.</summary>
    private protected virtual string StoredName(string name) => name;

    /// <summary>Tensors that the published layout repeats under another name.</summary>
    private protected virtual IEnumerable<(string Name, Tensor Value)> Copies() => [];
}
