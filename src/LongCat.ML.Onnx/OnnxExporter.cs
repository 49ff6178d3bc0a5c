using System.Diagnostics;
using System.Reflection;
using System.Security.Cryptography;
using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>
/// Writes a checkpoint as an ONNX model folder (docs/design.md section 2): the graphs, one file of external data, the manifest, and copies of the
/// configuration and tokenizer files. Weights pass through tensor by tensor, so memory stays bounded whatever the checkpoint's size.
/// </summary>
/// <remarks>Thread safety: static and without state; exports into different folders may run side by side.</remarks>
public static class OnnxExporter
{
    private static readonly string[] CopiedFiles = ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja"];

    /// <summary>Exports a checkpoint. The output folder is whole or absent: it is written beside its final name and renamed at the end.</summary>
    /// <param name="checkpointFolder">A Hugging Face folder (config.json and safetensors), or a model's folder in a Hugging Face cache.</param>
    /// <param name="outputFolder">The folder to create.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Told how many bytes of the weights are written, or null. Called on the exporting thread.</param>
    /// <param name="cancellationToken">Cancels within about a MiB of output; nothing is left behind.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, its architecture cannot be exported, or the output folder may not be replaced.</exception>
    /// <exception cref="AdapterException"><see cref="ExportOptions.Adapter"/> cannot be loaded, or cannot be merged into this checkpoint.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to; nothing is left behind.</exception>
    /// <exception cref="ArgumentException">An option is out of range, or two contradict each other.</exception>
    /// <exception cref="QuantizationException">A weight is not finite, the recipe needs statistics and there are none, or the kernel's sums could overflow.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static ExportResult Export(
        string checkpointFolder,
        string outputFolder,
        ExportOptions? options = null,
        IProgress<ExportProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        ArgumentException.ThrowIfNullOrEmpty(outputFolder);
        options ??= new ExportOptions();
        options.Check();
        long started = Stopwatch.GetTimestamp();
        cancellationToken.ThrowIfCancellationRequested();
        checkpointFolder = HuggingFaceCache.Resolve(checkpointFolder);
        RefuseExports(checkpointFolder);
        using PeftAdapter? adapter = LoadAdapter(options);
        using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder, adapter is null ? [] : [adapter], config => Adjusted(config, options));
        ModelEmitter emitter = EmitterTable.For(checkpoint.Config, options.Operators, checkpointFolder);
        bool draft = options.IncludeDraft && emitter.HasDraft(checkpoint);
        checkpoint.Validate(draft);
        WeightPrecision precision = options.Precision ?? (options.Operators == OperatorSet.Standard || options.Probes ? WeightPrecision.F32 : OwnPrecision(checkpoint));

        IReadOnlyList<string> adapted = options.AdapterInputs?.Resolve(checkpoint.Config) ?? [];
        CheckpointWeights weights = new(checkpoint, precision == WeightPrecision.W4A8 ? OwnPrecision(checkpoint) : precision, options.Equalization)
        {
            Int4BlockSize = options.Int4BlockSize,
            Int4Head = options.Int4Head,
            AdapterInputs = adapted.ToHashSet(StringComparer.Ordinal),
        };
        ExternalData data = new(ModelManifest.DataFileName);
        EmittedModel emitted = emitter.Emit(new Emission(weights, data, options.CacheType, draft, (graph, tensors) => new FloatWriter(graph, tensors, options.Probes)) { SparseVerification = options.SparseVerification });
        using W4A8Plan? plan = precision == WeightPrecision.W4A8
            ? new W4A8Plan((options.Quantization ?? new QuantizationOptions()).Resolve(), options.Statistics, [.. emitted.Sites, .. emitted.DraftSites], weights, cancellationToken)
            : null;
        if (plan is not null)
        {
            // The float form has said what every linear layer reads; nothing of it is written.
            data = new ExternalData(ModelManifest.DataFileName);
            emitted = emitter.Emit(new Emission(plan.Weights, data, options.CacheType, draft, (graph, tensors) => new W4A8Writer(graph, tensors, plan)) { SparseVerification = options.SparseVerification });
        }

        // Everything that can be refused is, before the weights are written.
        KeepApart(checkpointFolder, outputFolder);
        ModelProto model = BuildGraph(emitted.Model, plan, outputFolder, adapted);
        CheckOutput(outputFolder, options.Overwrite);
        using PartialFolder output = new(PartialFolder.FullPath(outputFolder));
        output.RequireSpace(data.Length);
        Dictionary<string, ManifestFile> files = new(StringComparer.Ordinal)
        {
            [ModelManifest.DataFileName] = data.Write(Path.Combine(output.Path, ModelManifest.DataFileName), progress, cancellationToken),
            [ModelManifest.ModelFileName] = WriteGraph(model, output.Path, ModelManifest.ModelFileName, cancellationToken),
        };
        if (emitted.Draft is not null)
        {
            files[ModelManifest.DraftFileName] = WriteGraph(BuildGraph(emitted.Draft, plan, outputFolder, []), output.Path, ModelManifest.DraftFileName, cancellationToken);
        }

        foreach (string name in CopiedFiles)
        {
            if (File.Exists(Path.Combine(checkpointFolder, name)))
            {
                files[name] = CopyFile(Path.Combine(checkpointFolder, name), Path.Combine(output.Path, name), cancellationToken);
            }
        }

        if (plan is not null)
        {
            plan.Report.Save(output.Path);
            foreach (string name in (string[])[QuantizationReport.JsonName, QuantizationReport.PictureName])
            {
                files[name] = Describe(Path.Combine(output.Path, name));
            }
        }

        foreach ((string name, byte[] content) in emitted.OtherFiles)
        {
            using ExportFile file = new(Path.Combine(output.Path, name), cancellationToken);
            file.Write(content);
            files[name] = file.Complete();
        }

        ModelConfig config = checkpoint.Config;
        ModelManifest manifest = new()
        {
            Architecture = config.Architecture,
            Operators = options.Operators,
            Precision = precision,
            VocabSize = config.VocabSize,
            HiddenSize = config.HiddenSize,
            MaxPositions = config.MaxPositions,
            BosTokenId = config.BosTokenId,
            EosTokenIds = config.EosTokenIds,
            NgramNeighbors = emitted.NgramNeighbors,
            Caches = emitted.Caches,
            DraftCaches = emitted.DraftCaches,
            CacheType = options.CacheType,
            Streaming = options.Operators == OperatorSet.LongCat ? config.Streaming : null,
            SparseVerification = emitted.SparseVerification,
            Files = files,
        };
        manifest.Write(output.Path);
        cancellationToken.ThrowIfCancellationRequested();
        CheckOutput(outputFolder, options.Overwrite);
        output.Commit(options.Overwrite);
        return new ExportResult(PartialFolder.FullPath(outputFolder), manifest, data.Count, Stopwatch.GetElapsedTime(started))
        {
            Sites = [.. emitted.Sites.Select(site => site.ToSite())],
            DraftSites = [.. emitted.DraftSites.Select(site => site.ToSite())],
        };
    }

    /// <summary>Refuses what <see cref="Export"/> would refuse about the two folders, before long work whose result is exported at its end.</summary>
    /// <param name="checkpointFolder">A Hugging Face folder, or a model's folder in a Hugging Face cache.</param>
    /// <param name="outputFolder">The folder that will be created.</param>
    /// <param name="options">The export's options; null for the defaults.</param>
    /// <returns>The folder with the checkpoint's files.</returns>
    /// <exception cref="CheckpointException">The checkpoint's headers cannot be used, it is an export, its architecture cannot be exported, or the output folder may not be replaced.</exception>
    /// <exception cref="AdapterException"><see cref="ExportOptions.Adapter"/> cannot be loaded, or cannot be merged into this checkpoint.</exception>
    /// <exception cref="ArgumentException">An option is out of range, or two contradict each other.</exception>
    public static string CheckFolders(string checkpointFolder, string outputFolder, ExportOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        ArgumentException.ThrowIfNullOrEmpty(outputFolder);
        options ??= new ExportOptions();
        options.Check();
        checkpointFolder = HuggingFaceCache.Resolve(checkpointFolder);
        RefuseExports(checkpointFolder);
        using PeftAdapter? adapter = LoadAdapter(options);
        using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder, adapter is null ? [] : [adapter], config => Adjusted(config, options));
        ModelEmitter emitter = EmitterTable.For(checkpoint.Config, options.Operators, checkpointFolder);
        checkpoint.Validate(options.IncludeDraft && emitter.HasDraft(checkpoint));
        KeepApart(checkpointFolder, outputFolder);
        CheckOutput(outputFolder, options.Overwrite);
        return checkpointFolder;
    }

    private static readonly FolderRule OutputRule = new($"an earlier export (there is no {ModelManifest.FileName})", folder => File.Exists(Path.Combine(folder, ModelManifest.FileName)));

    /// <exception cref="CheckpointException">Something is there that may not be replaced.</exception>
    private static void CheckOutput(string folder, bool overwrite)
    {
        string final = PartialFolder.FullPath(folder);
        if (OutputRule.Problem(final, overwrite) is { } problem)
        {
            throw new CheckpointException(final, problem);
        }
    }

    /// <summary>The adapter that is merged on the way. A probe export is what calibration reads before the weights become 4 bits.</summary>
    private static PeftAdapter? LoadAdapter(ExportOptions options)
    {
        if (options.Adapter is null)
        {
            return null;
        }

        PeftAdapter adapter = PeftAdapter.Load(options.Adapter);
        try
        {
            if (options.Precision != WeightPrecision.W4A8 && !options.Probes && !options.OntoUnquantized)
            {
                adapter.RequireUnquantizedBase();
            }

            return adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    /// <summary>Without the commit, so that the same checkpoint gives the same bytes.</summary>
    private static string ProducerVersion { get; } =
        typeof(OnnxExporter).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";

    /// <summary>An export has a config.json too: better to say what it is than that its weights are missing.</summary>
    private static void RefuseExports(string folder)
    {
        if (File.Exists(Path.Combine(folder, ModelManifest.FileName)))
        {
            throw new CheckpointException(folder, $"the folder holds {ModelManifest.FileName}: it is an export already, perhaps a quantized one. Export the Hugging Face checkpoint that it was made from.");
        }
    }

    private static ModelConfig Adjusted(ModelConfig config, ExportOptions options) =>
        options.LatentNormEps is double epsilon && config is LongcatFlashConfig flash ? flash with { LatentNormEps = epsilon } : config;

    private static WeightPrecision OwnPrecision(Checkpoint checkpoint) =>
        checkpoint.Entry(checkpoint.Config.OutputHeadName).Type is TensorType.Float32 or TensorType.Float16 or TensorType.Float64 ? WeightPrecision.F32 : WeightPrecision.BF16;

    /// <summary>The graph, with inputs for adapters of some modules. Graphs with standard operators have them from their emitters.</summary>
    private static ModelProto BuildGraph(GraphBuilder graph, W4A8Plan? plan, string folder, IReadOnlyList<string> adapted)
    {
        ModelProto model = graph.Build(ProducerVersion);
        if (plan is { Equalized: true })
        {
            model.MetadataProps.Add(new StringStringEntryProto { Key = AdapterGraph.EqualizedKey, Value = "1" });
        }

        return adapted.Count == 0 || adapted.All(module => model.Graph.Input.Any(input => input.Name == AdapterNames.A(module)))
            ? model
            : new AdapterGraph(Path.Combine(folder, ModelManifest.ModelFileName), model).Rewrite([.. adapted.Select(module => new AdapterSite(module))], several: false);
    }

    private static ManifestFile WriteGraph(ModelProto model, string folder, string name, CancellationToken cancellationToken)
    {
        using ExportFile file = new(Path.Combine(folder, name), cancellationToken);
        model.WriteTo(file);
        return file.Complete();
    }

    private static ManifestFile Describe(string path)
    {
        byte[] content = File.ReadAllBytes(path);
        return new ManifestFile(content.Length, Convert.ToHexStringLower(SHA256.HashData(content)));
    }

    private static ManifestFile CopyFile(string source, string destination, CancellationToken cancellationToken)
    {
        using FileStream input = File.OpenRead(source);
        using ExportFile output = new(destination, cancellationToken);
        input.CopyTo(output);
        return output.Complete();
    }

    /// <summary>Replacing the output must never delete the checkpoint.</summary>
    private static void KeepApart(string checkpointFolder, string outputFolder)
    {
        string checkpoint = Path.TrimEndingDirectorySeparator(Path.GetFullPath(checkpointFolder)) + Path.DirectorySeparatorChar;
        string output = Path.TrimEndingDirectorySeparator(Path.GetFullPath(outputFolder)) + Path.DirectorySeparatorChar;
        if (checkpoint.StartsWith(output, StringComparison.Ordinal))
        {
            throw new CheckpointException(outputFolder, $"the output folder is or contains the checkpoint {checkpointFolder}; choose another folder.");
        }
    }
}
