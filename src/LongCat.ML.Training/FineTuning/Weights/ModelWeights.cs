using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;
using TorchSharp;
using TorchSharp.Modules;

namespace LongCat.ML.Training.FineTuning;

/// <summary>Full fine-tuning: all weights but the draft head's and the indexers', which have no gradient here and would only decay.</summary>
/// <remarks>The routers' selection biases are buffers and stay as they are (2509.01322: a controller moves them over billions of tokens, not over a fine-tuning).</remarks>
internal sealed class ModelWeights : TunedWeights
{
    private readonly CausalLanguageModel _model;
    private readonly string? _source;

    public ModelWeights(CausalLanguageModel model, string? checkpointFolder)
    {
        _model = model;
        _source = checkpointFolder is null ? null : HuggingFaceCache.Resolve(checkpointFolder);
        Parameters = [.. model.named_parameters().Where(p => !IsFrozen(p.name)).Select(p => (p.name, p.parameter))];
        foreach (var (_, parameter) in model.named_parameters().Where(p => IsFrozen(p.name)))
        {
            parameter.requires_grad = false;
        }
    }

    public override IReadOnlyList<(string Name, Parameter Value)> Parameters { get; }

    public override string Description => "all weights";

    public override IReadOnlyList<(string Module, long Parameters)> ByModule =>
        [.. Parameters.Select(p => (p.Name[..Math.Max(0, p.Name.LastIndexOf('.'))], p.Value.NumberOfElements))];

    /// <summary>As in pretraining: no decay for norms, biases, embeddings and n-gram tables.</summary>
    public override IReadOnlyList<ParameterGroup> Groups(FineTuningOptions options)
    {
        bool Decays((string Name, Parameter Value) p) => p.Value.shape.Length > 1
            && !p.Name.Contains("embed_tokens", StringComparison.Ordinal) && !p.Name.Contains("embedders", StringComparison.Ordinal);
        return
        [
            new ParameterGroup([.. Parameters.Where(Decays)], 1, options.WeightDecay),
            new ParameterGroup([.. Parameters.Where(p => !Decays(p))], 1, 0),
        ];
    }

    /// <summary>A checkpoint in the type of the original, with its other files.</summary>
    public override void Write(string folder)
    {
        if (_source is null)
        {
            throw new InvalidOperationException("the model was not opened from a folder, so its config.json is unknown; save it with CausalLanguageModel.Save");
        }

        _model.Save(folder, File.ReadAllText(Path.Combine(_source, "config.json")), _model.Config.TorchDtype == "float32" ? TensorType.Float32 : TensorType.BFloat16);
        foreach (string file in Directory.GetFiles(_source).Where(IsCompanion))
        {
            string copy = Path.Combine(folder, Path.GetFileName(file));
            if (!File.Exists(copy))
            {
                File.Copy(file, copy);
            }
        }
    }

    public override void Dispose()
    {
    }

    /// <summary>What a checkpoint needs besides its weights: tokenizer, chat template, generation settings.</summary>
    private static bool IsCompanion(string file) => Path.GetFileName(file) is "tokenizer.json" or "tokenizer_config.json" or "special_tokens_map.json"
        or "added_tokens.json" or "chat_template.jinja" or "generation_config.json" or "vocab.json" or "merges.txt";

    private static bool IsFrozen(string name) => name.StartsWith("model.mtp.", StringComparison.Ordinal) || name.Contains(".indexer.", StringComparison.Ordinal);
}
