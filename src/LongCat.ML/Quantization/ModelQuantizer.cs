using System.Diagnostics;
using LongCat.ML.Calibration;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML;

/// <summary>
/// Writes a checkpoint as an ONNX folder with 4-bit weights and 8-bit activations (W4A8). Where the recipe needs to know what the layers read, the checkpoint is exported in float first,
/// into a temporary folder beside the output, and reads the calibration data there.
/// </summary>
/// <remarks>
/// The same checkpoint, options and data give the same bytes, whatever the number of threads. The output folder is whole or absent, and the temporary folder is gone, however it ends; only a
/// killed process leaves a hidden sibling <c>.NAME.calibration-*</c>, which may be deleted. Thread safety: static and without state; different outputs may be made side by side.
/// </remarks>
public static class ModelQuantizer
{
    /// <summary>Quantizes a checkpoint.</summary>
    /// <param name="checkpointFolder">A Hugging Face folder (config.json and safetensors), or a model's folder in its download cache.</param>
    /// <param name="outputFolder">The folder to create: it is whole or absent.</param>
    /// <param name="options">The recipe; null takes <see cref="QuantizationRecipe.LongCat"/>.</param>
    /// <param name="calibration">
    /// What the model reads for calibration. Null takes <see cref="CalibrationData.RandomTokens"/> where the recipe needs it, and nothing where it does not. With a recipe that needs none, data
    /// that is given is read all the same: the report then has errors of outputs instead of weights.
    /// </param>
    /// <param name="export">Everything else about the folder; null for the defaults. Its precision is W4A8 or null.</param>
    /// <param name="runtime">How calibration uses the machine (threads, memory); null for the defaults.</param>
    /// <param name="progress">Told of every stage, on this thread; null for none.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or two contradict each other. The message names option, value and what is allowed.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used (it is an export already, it is quantized in a way that is not read, a file is missing, a weight is not finite), or the output folder may not be replaced.</exception>
    /// <exception cref="AdapterException">The adapter of <paramref name="export"/> cannot be loaded, or cannot be merged into this checkpoint.</exception>
    /// <exception cref="QuantizationException">A weight is not finite, or the kernel's sums could overflow.</exception>
    /// <exception cref="InferenceException">The float model cannot run, or its activations are not finite.</exception>
    /// <exception cref="InvalidDataException">No row of the calibration data is usable.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static QuantizationResult Quantize(
        string checkpointFolder,
        string outputFolder,
        QuantizationOptions? options = null,
        CalibrationData? calibration = null,
        ExportOptions? export = null,
        CalibrationOptions? runtime = null,
        IProgress<QuantizationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        Throw.IfBlank(checkpointFolder, nameof(checkpointFolder));
        Throw.IfBlank(outputFolder, nameof(outputFolder));
        long started = Stopwatch.GetTimestamp();
        export = Combine(options, export);
        QuantizationOptions resolved = export.Quantization!;
        calibration ??= resolved.NeedsStatistics ? CalibrationData.RandomTokens() : null;

        // What would be refused after minutes of calibration is refused before.
        checkpointFolder = OnnxExporter.CheckFolders(checkpointFolder, outputFolder, export);
        if (calibration is null)
        {
            return new QuantizationResult(Write(checkpointFolder, outputFolder, export, progress, cancellationToken), null, Stopwatch.GetElapsedTime(started));
        }

        (IReadOnlyList<IReadOnlyList<int>> sequences, CalibrationSummary summary) =
            CalibrationSampler.Draw(calibration, checkpointFolder, ModelConfig.Load(checkpointFolder), resolved.Seed, cancellationToken);
        using CalibrationFolder folder = new(outputFolder);
        CalibrationResult statistics = Collect(checkpointFolder, folder, sequences, export, calibration.DataFree, runtime ?? new CalibrationOptions(), progress, cancellationToken);
        using (statistics)
        {
            // The float weights are not needed any more: the disk may have no room for both.
            folder.DeleteProbe();
            ExportResult written = Write(checkpointFolder, outputFolder, export with { Statistics = statistics }, progress, cancellationToken);
            return new QuantizationResult(written, summary, Stopwatch.GetElapsedTime(started));
        }
    }

    private static ExportOptions Combine(QuantizationOptions? options, ExportOptions? export)
    {
        export ??= new ExportOptions();
        if (export.Precision is { } precision and not WeightPrecision.W4A8)
        {
            throw new ArgumentException($"{nameof(ExportOptions)}.{nameof(ExportOptions.Precision)} is {precision}, expected {WeightPrecision.W4A8} or nothing", nameof(export));
        }

        if (options is not null && export.Quantization is not null && options != export.Quantization)
        {
            throw new ArgumentException($"{nameof(ExportOptions)}.{nameof(ExportOptions.Quantization)} is set to other options than the ones given beside it; set one of them", nameof(export));
        }

        if (export.Statistics is not null || export.Probes)
        {
            throw new ArgumentException(
                $"{nameof(ExportOptions)}.{(export.Probes ? nameof(ExportOptions.Probes) : nameof(ExportOptions.Statistics))} is set, and quantizing sets it itself; export with {nameof(OnnxExporter)} instead", nameof(export));
        }

        return export with { Precision = WeightPrecision.W4A8, Quantization = (options ?? export.Quantization ?? new QuantizationOptions()).Resolve() };
    }

    private static CalibrationResult Collect(
        string checkpointFolder,
        CalibrationFolder folder,
        IReadOnlyList<IReadOnlyList<int>> sequences,
        ExportOptions export,
        bool dataFree,
        CalibrationOptions runtime,
        IProgress<QuantizationProgress>? progress,
        CancellationToken cancellationToken)
    {
        ExportOptions probe = export with { Precision = WeightPrecision.F32, Quantization = null, Probes = true, SparseVerification = false, IncludeDraft = false, Overwrite = false, CacheType = CacheType.Float32 };
        ExportResult probed = OnnxExporter.Export(
            checkpointFolder, folder.Probe, probe, progress is null ? null : new Bytes(QuantizationStage.Probe, progress), cancellationToken);
        runtime = runtime with
        {
            Gram = export.Quantization!.NeedsGram,
            DataFree = dataFree,
            TemporaryFolder = runtime.TemporaryFolder ?? folder.Path,
        };
        try
        {
            return Calibrator.Collect(probed.Folder, probed.Sites, sequences, runtime, progress is null ? null : new Tokens(progress), cancellationToken);
        }
        catch (InferenceException)
        {
            // Activations that are not finite are most often weights that are not: an error that names the tensor says more than one that names a layer's input.
            using PeftAdapter? adapter = export.Adapter is null ? null : PeftAdapter.Load(export.Adapter);
            using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder, adapter is null ? [] : [adapter]);
            checkpoint.CheckFinite();
            throw;
        }
    }

    private static ExportResult Write(
        string checkpointFolder, string outputFolder, ExportOptions export, IProgress<QuantizationProgress>? progress, CancellationToken cancellationToken) =>
        OnnxExporter.Export(checkpointFolder, outputFolder, export, progress is null ? null : new Bytes(QuantizationStage.Write, progress), cancellationToken);

    private sealed class Bytes(QuantizationStage stage, IProgress<QuantizationProgress> to) : IProgress<ExportProgress>
    {
        public void Report(ExportProgress value) => to.Report(new QuantizationProgress(stage, value.BytesDone, value.BytesTotal, value.Tensor));
    }

    private sealed class Tokens(IProgress<QuantizationProgress> to) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => to.Report(new QuantizationProgress(
            QuantizationStage.Calibrate, value.TokensDone, value.TokensTotal, value.Passes > 1 ? $"pass {value.Pass} of {value.Passes}" : null));
    }
}
