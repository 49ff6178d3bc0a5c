using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
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
    public static CausalLanguageModel Load(Checkpoint checkpoint) => Load(checkpoint, BaseWeights.Float32);

    /// <summary>Loads a checkpoint folder of any family with weights of a chosen precision.</summary>
    /// <param name="folder">The folder with config.json and the weights, or a model's folder in a Hugging Face cache.</param>
    /// <param name="weights">How weights lie in memory. All but float32 are frozen: adapters train on top of them.</param>
    /// <param name="quantization">For <see cref="BaseWeights.W4A8"/>: how weights become 4 bits. Null rounds to nearest; recipes that need a calibration run are refused.</param>
    /// <returns>A model, owned by the caller.</returns>
    /// <exception cref="CheckpointException">The checkpoint is malformed, or its tensors do not fit its config.</exception>
    /// <exception cref="ArgumentException">Options were given for a model that is not quantized, or have a value that is not allowed.</exception>
    /// <exception cref="QuantizationException">The recipe needs statistics, or a weight is not finite.</exception>
    public static CausalLanguageModel Load(string folder, BaseWeights weights, QuantizationOptions? quantization = null)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return Load(checkpoint, weights, quantization);
    }

    /// <summary>Loads an open checkpoint of any family with weights of a chosen precision; every tensor is checked against the config first.</summary>
    /// <param name="checkpoint">The checkpoint, which stays the caller's.</param>
    /// <param name="weights">How weights lie in memory. All but float32 are frozen: adapters train on top of them.</param>
    /// <param name="quantization">For <see cref="BaseWeights.W4A8"/>: how weights become 4 bits. Null rounds to nearest; recipes that need a calibration run are refused.</param>
    /// <returns>A model, owned by the caller. It has a draft head when the checkpoint has one.</returns>
    /// <remarks>The peak is the model itself and, one after another, a matrix in float32.</remarks>
    /// <exception cref="CheckpointException">The checkpoint's tensors do not fit its config.</exception>
    /// <exception cref="ArgumentException">Options were given for a model that is not quantized, or have a value that is not allowed.</exception>
    /// <exception cref="QuantizationException">The recipe needs statistics, or a weight is not finite.</exception>
    public static CausalLanguageModel Load(Checkpoint checkpoint, BaseWeights weights, QuantizationOptions? quantization = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (!Enum.IsDefined(weights))
        {
            throw new ArgumentException($"weights are {weights}, expected one of {string.Join(", ", Enum.GetNames<BaseWeights>())}", nameof(weights));
        }

        if (quantization is not null && weights != BaseWeights.W4A8)
        {
            throw new ArgumentException($"options of quantization were given with weights {weights}; they go with {BaseWeights.W4A8}", nameof(quantization));
        }

        checkpoint.Validate();
        MatrixQuantizer? quantizer = weights == BaseWeights.W4A8 ? new MatrixQuantizer(quantization ?? new() { Recipe = QuantizationRecipe.RoundToNearest }, statistics: null) : null;
        CausalLanguageModel model;
        using (new WeightAllocation(weights, checkpoint.Entry(checkpoint.Config.ExpectedTensors(withMtp: false)[0].Name).Type == TensorType.BFloat16))
        {
            model = Create(checkpoint.Config);
        }

        try
        {
            using var scope = NewDisposeScope();
            using var frozen = no_grad();
            model.BaseWeights = weights;
            HashSet<string> filled = new(StringComparer.Ordinal);
            foreach (var (path, projection) in model.Projections())
            {
                projection.Fill(checkpoint, path, quantizer);
                filled.Add(path + ".weight");
                filled.Add(path + ".bias");
            }

            foreach (var (name, value) in model.state_dict())
            {
                if (model.StoredName(name) is var stored && !filled.Contains(stored))
                {
                    TensorFiller.Fill(checkpoint, stored, value);
                }
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
    /// <param name="type"><see cref="TensorType.Float32"/> or <see cref="TensorType.BFloat16"/>; routers and the weights of indexers' heads stay float32.</param>
    /// <exception cref="CheckpointException">The folder or a file cannot be written.</exception>
    /// <exception cref="ArgumentException">Another type.</exception>
    /// <exception cref="InvalidOperationException">The weights are 4-bit levels.</exception>
    public void Save(string folder, string configJson, TensorType type)
    {
        if (type is not (TensorType.Float32 or TensorType.BFloat16))
        {
            throw new ArgumentException($"weights can be saved as Float32 or BFloat16, not {type}", nameof(type));
        }

        if (BaseWeights == BaseWeights.W4A8)
        {
            throw new InvalidOperationException("the model's weights are 4-bit levels, which a Hugging Face folder does not hold; load it in float32 or bfloat16 to save it");
        }

        Directory.CreateDirectory(folder);
        using var scope = NewDisposeScope();
        HashSet<string> routers = [.. Config.ExpectedTensors(withMtp: true).Where(t => t.Group == TensorGroup.Router || t.Name.EndsWith(".indexer.weights_proj.weight", StringComparison.Ordinal)).Select(t => t.Name)];
        List<(string Name, Tensor Value)> state = [.. state_dict().Select(t => (StoredName(t.Key), t.Value)), .. Copies()];
        using (var writer = SafetensorsWriter.Create(
            Path.Combine(folder, "model.safetensors"),
            state.Select(t => new TensorDeclaration(t.Name, routers.Contains(t.Name) ? TensorType.Float32 : type, t.Value.shape)),
            new Dictionary<string, string> { ["format"] = "pt" }))
        {
            foreach (var (name, value) in state)
            {
                using var whole = value.cpu().to(ScalarType.Float32);
                writer.Write(name, MemoryMarshal.Cast<byte, float>(whole.bytes));
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
