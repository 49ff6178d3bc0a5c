using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>Loading from and saving to the Hugging Face layout.</content>
public partial class LongcatFlashForCausalLM
{
    private const string DraftEmbedding = "model.mtp.embed_tokens.weight";

    /// <summary>Loads a checkpoint folder.</summary>
    /// <param name="folder">The folder with config.json and the weights.</param>
    /// <returns>A model in float32, owned by the caller.</returns>
    /// <exception cref="CheckpointException">The checkpoint is malformed, of another family, or its tensors do not fit its config.</exception>
    public static LongcatFlashForCausalLM Load(string folder)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return Load(checkpoint);
    }

    /// <summary>Loads an open checkpoint; every tensor is checked against the config first, and widened to float32.</summary>
    /// <param name="checkpoint">The checkpoint, which stays the caller's.</param>
    /// <returns>A model in float32, owned by the caller. It has a draft head when the checkpoint has one.</returns>
    /// <exception cref="CheckpointException">The checkpoint is of another family, or its tensors do not fit its config.</exception>
    public static LongcatFlashForCausalLM Load(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (checkpoint.Config is not LongcatFlashConfig config)
        {
            throw new CheckpointException(checkpoint.Folder, $"architectures[0] is {checkpoint.Config.Architecture}, expected LongcatFlashForCausalLM or LongcatFlashNgramForCausalLM");
        }

        checkpoint.Validate();
        var model = Create(config);
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
    /// <param name="type"><see cref="TensorType.Float32"/> or <see cref="TensorType.BFloat16"/>; the router stays float32.</param>
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
        var state = State();
        using (var writer = SafetensorsWriter.Create(
            Path.Combine(folder, "model.safetensors"),
            state.Select(t => new TensorDeclaration(t.Name, t.Name.Contains(".mlp.router.", StringComparison.Ordinal) ? TensorType.Float32 : type, t.Value.shape)),
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

        List<(string Name, Tensor Value)> State()
        {
            List<(string, Tensor)> tensors = [.. state_dict().Select(t => (StoredName(t.Key), t.Value))];
            if (Model.DraftHead is not null)
            {
                // The published layout repeats the embedding below the draft head.
                tensors.Add((DraftEmbedding, state_dict()["model.embed_tokens.weight"]));
            }

            return tensors;
        }
    }

    /// <summary>The name in the checkpoint: the state's own, except where the n-gram tensors are spelled the other way.</summary>
    private string StoredName(string name)
    {
        if (Config.NGram is not { Naming: NGramTensorNaming.OverEncoding } ngram || !name.StartsWith("model.ngram_embeddings.", StringComparison.Ordinal))
        {
            return name;
        }

        string[] parts = name.Split('.');
        int index = int.Parse(parts[3], System.Globalization.CultureInfo.InvariantCulture);
        return parts[2] == "embedders" ? ngram.TableName(index) : ngram.ProjectionName(index);
    }
}
