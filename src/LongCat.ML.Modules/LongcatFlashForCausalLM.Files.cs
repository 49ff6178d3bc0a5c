using LongCat.ML.Checkpoints;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <content>Loading, and the two tensors' names that are not those of the state.</content>
public partial class LongcatFlashForCausalLM
{
    private const string DraftEmbedding = "model.mtp.embed_tokens.weight";

    /// <summary>Loads a checkpoint folder.</summary>
    /// <param name="folder">The folder with config.json and the weights, or a model's folder in a Hugging Face cache.</param>
    /// <returns>A model in float32, owned by the caller.</returns>
    /// <exception cref="CheckpointException">The checkpoint is malformed, of another family, or its tensors do not fit its config.</exception>
    public static new LongcatFlashForCausalLM Load(string folder)
    {
        using var checkpoint = Checkpoint.Open(folder);
        return Load(checkpoint);
    }

    /// <summary>Loads an open checkpoint; every tensor is checked against the config first, and widened to float32.</summary>
    /// <param name="checkpoint">The checkpoint, which stays the caller's.</param>
    /// <returns>A model in float32, owned by the caller. It has a draft head when the checkpoint has one.</returns>
    /// <exception cref="CheckpointException">The checkpoint is of another family, or its tensors do not fit its config.</exception>
    public static new LongcatFlashForCausalLM Load(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        return checkpoint.Config is LongcatFlashConfig
            ? (LongcatFlashForCausalLM)CausalLanguageModel.Load(checkpoint)
            : throw new CheckpointException(checkpoint.Folder, $"architectures[0] is {checkpoint.Config.Architecture}, expected LongcatFlashForCausalLM or LongcatFlashNgramForCausalLM");
    }

    /// <summary>The state's own name, except where the n-gram tensors are spelled the other way.</summary>
    private protected override string StoredName(string name)
    {
        if (Config.NGram is not { Naming: NGramTensorNaming.OverEncoding } ngram || !name.StartsWith("model.ngram_embeddings.", StringComparison.Ordinal))
        {
            return name;
        }

        string[] parts = name.Split('.');
        int index = int.Parse(parts[3], System.Globalization.CultureInfo.InvariantCulture);
        return parts[2] == "embedders" ? ngram.TableName(index) : ngram.ProjectionName(index);
    }

    /// <summary>The published layout repeats the embedding below the draft head.</summary>
    private protected override IEnumerable<(string Name, Tensor Value)> Copies() =>
        Model.DraftHead is null ? [] : [(DraftEmbedding, state_dict()["model.embed_tokens.weight"])];
}
