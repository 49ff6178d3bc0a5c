using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.Optimization;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Training.FineTuning;

/// <summary>The draft head of a LongCat model, on a model that learns nothing: its own weights, or an adapter that is merged into them in the end, since engines run heads without adapters.</summary>
internal sealed class DraftHeadWeights : TunedWeights
{
    private const string Prefix = "model.mtp.";

    private readonly CausalLanguageModel _model;
    private readonly AdapterWeights? _adapter;
    private readonly string? _source;
    private readonly List<(Parameter Parameter, bool RequiredGradient)> _before = [];

    /// <param name="model">The model; all but the head is frozen until this is disposed.</param>
    /// <param name="checkpointFolder">Where it was opened from, or null.</param>
    /// <param name="adapter">The adapter on the head, or null to train the head's own weights.</param>
    public DraftHeadWeights(CausalLanguageModel model, string? checkpointFolder, AdapterWeights? adapter)
    {
        _model = model;
        _adapter = adapter;
        _source = checkpointFolder is null ? null : HuggingFaceCache.Resolve(checkpointFolder);
        if (adapter is not null)
        {
            Parameters = adapter.Parameters;
            return;
        }

        Parameters = [.. model.named_parameters().Where(p => IsTrained(p.name)).Select(p => (p.name, p.parameter))];
        foreach (var (name, parameter) in model.named_parameters())
        {
            _before.Add((parameter, parameter.requires_grad));
            parameter.requires_grad = IsTrained(name);
        }
    }

    public override IReadOnlyList<(string Name, Parameter Value)> Parameters { get; }

    public override double Beta => _adapter?.Beta ?? 0;

    public override string Description => _adapter is null ? "the draft head" : $"the draft head by {_adapter.Description}";

    public override string Title => "Training of the draft head";

    public override IReadOnlyList<(string Module, long Parameters)> ByModule => _adapter is not null ? _adapter.ByModule
        : [.. Parameters.Select(p => (p.Name[..p.Name.LastIndexOf('.')], p.Value.NumberOfElements))];

    /// <summary>Norms do not decay.</summary>
    public override IReadOnlyList<ParameterGroup> Groups(FineTuningOptions options) => _adapter is not null ? _adapter.Groups(options) :
    [
        new ParameterGroup([.. Parameters.Where(p => p.Value.shape.Length > 1)], 1, options.WeightDecay),
        new ParameterGroup([.. Parameters.Where(p => p.Value.shape.Length == 1)], 1, 0),
    ];

    public override void StepTo(long step, long totalSteps) => _adapter?.StepTo(step, totalSteps);

    /// <summary>The checkpoint file by file, with the head's tensors as they are now in the types that they had; everything else keeps its bytes.</summary>
    public override void Write(string folder)
    {
        if (_source is null)
        {
            throw new InvalidOperationException("the model was not opened from a folder, so its files are unknown; save it with CausalLanguageModel.Save");
        }

        // Refuses while β is above 0: nothing is written then.
        _adapter?.Adapted.Merge();
        try
        {
            using Checkpoint checkpoint = Checkpoint.Open(_source);
            Dictionary<string, Tensor> trained = _model.state_dict().Where(t => IsTrained(t.Key)).ToDictionary(t => t.Key, t => t.Value, StringComparer.Ordinal);
            foreach (SafetensorsFile file in checkpoint.Files)
            {
                Write(checkpoint, file, Path.Combine(folder, Path.GetRelativePath(checkpoint.Folder, file.Path)), trained);
            }
        }
        finally
        {
            _adapter?.Adapted.Unmerge();
        }

        foreach (string path in Directory.EnumerateFiles(_source).Where(path => MergedCheckpoint.IsCopied(Path.GetFileName(path))))
        {
            File.Copy(path, Path.Combine(folder, Path.GetFileName(path)));
        }
    }

    public override void Dispose()
    {
        foreach (var (parameter, required) in _before)
        {
            parameter.requires_grad = required;
            parameter.grad = null;
        }

        _before.Clear();
        _adapter?.Dispose();
    }

    /// <summary>Why a checkpoint's head cannot take trained values; null where it can.</summary>
    public static string? WhyNotStorable(Checkpoint checkpoint)
    {
        TensorEntry? packed = checkpoint.Tensors.Values.FirstOrDefault(t => IsTrained(t.Name) && t.Type is not (TensorType.Float32 or TensorType.BFloat16 or TensorType.Float16));
        return packed is null ? null : $"{packed.Name} is stored as {packed.Type}, which does not hold what is trained; convert the checkpoint's draft head to bfloat16 or float32 first";
    }

    /// <summary>The indexer's choice has no gradient; the copy of the embedding is the model's.</summary>
    private static bool IsTrained(string name) =>
        name.StartsWith(Prefix, StringComparison.Ordinal) && !name.Contains(".indexer.", StringComparison.Ordinal) && name != Prefix + "embed_tokens.weight";

    private static void Write(Checkpoint checkpoint, SafetensorsFile file, string target, Dictionary<string, Tensor> trained)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        using var writer = SafetensorsWriter.Create(target, file.Tensors.Values.Select(t => new TensorDeclaration(t.Name, t.Type, t.Shape)), file.Metadata);
        foreach (TensorEntry tensor in file.Tensors.Values.OrderBy(t => t.Offset))
        {
            if (trained.TryGetValue(tensor.Name, out Tensor? value))
            {
                using var whole = value.detach().contiguous();
                writer.Write(tensor.Name, MemoryMarshal.Cast<byte, float>(whole.bytes));
                continue;
            }

            using Stream stream = writer.OpenTensor(tensor.Name);
            checkpoint.CopyTo(tensor.Name, tensor.Type, stream);
        }

        writer.Complete();
    }
}
