using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;

namespace LongCat.ML.Training.Estimators;

/// <summary>What a trainer leaves on the disk, whole or absent: the adapter, the model with the adapter merged, the report.</summary>
internal static class TunedFolder
{
    public const string Adapter = "adapter";
    public const string Model = "onnx";
    public const string Report = "report.html";

    private static readonly FolderRule s_rule = new(
        $"a folder that this trainer made ('{Adapter}' and '{Model}' in it)",
        folder => File.Exists(Path.Combine(folder, Adapter, "adapter_config.json")) && File.Exists(Path.Combine(folder, Model, ModelManifest.FileName)),
        $"set {nameof(LoraTrainerOptions)}.{nameof(LoraTrainerOptions.Overwrite)}");

    /// <exception cref="CheckpointException">The folder exists, and may not be replaced or is no such folder.</exception>
    public static void Check(string folder, bool overwrite)
    {
        string final = PartialFolder.FullPath(folder);
        if (s_rule.Problem(final, overwrite) is { } problem)
        {
            throw new CheckpointException(final, problem);
        }
    }

    /// <summary>Writes the folder.</summary>
    /// <param name="context">Whose log is told.</param>
    /// <param name="checkpoint">The checkpoint that was adapted.</param>
    /// <param name="options">The trainer's options.</param>
    /// <param name="tuner">The trainer, at its end.</param>
    /// <param name="calibration">Rows to calibrate with, where the model is stored in 4 bits.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <returns>The folder's full path.</returns>
    public static string Write(MLContext context, string checkpoint, LoraTrainerOptions options, FineTuner tuner, Func<CalibrationData> calibration, CancellationToken cancellationToken)
    {
        string output = PartialFolder.FullPath(options.OutputFolder);
        using PartialFolder partial = new(output);
        string adapter = Path.Combine(partial.Path, Adapter);
        tuner.Save(adapter);
        File.Move(Path.Combine(adapter, Report), Path.Combine(partial.Path, Report));
        Export(context, checkpoint, adapter, Path.Combine(partial.Path, Model), options.Export, calibration, cancellationToken);
        Check(output, options.Overwrite);
        partial.Commit(options.Overwrite);
        return output;
    }

    /// <summary>Exports the checkpoint with the adapter merged, where there is one.</summary>
    public static ExportResult Export(
        MLContext context, string checkpoint, string? adapter, string folder, ExportOptions? options, Func<CalibrationData>? calibration, CancellationToken cancellationToken)
    {
        // The draft head was not adapted, and drafts for another model.
        // An adapter of quantized weights is merged into weights that are quantized again.
        options = (options ?? new ExportOptions { IncludeDraft = false, Precision = Quantized(adapter) ? WeightPrecision.W4A8 : null }) with { Adapter = adapter };
        return options.Precision == WeightPrecision.W4A8 && options.Statistics is null
            ? context.LongCat().Quantize(checkpoint, folder, options.Quantization, calibration?.Invoke(), options, cancellationToken: cancellationToken).Export
            : context.LongCat().ExportToOnnx(checkpoint, folder, options, cancellationToken: cancellationToken);
    }

    private static bool Quantized(string? folder)
    {
        if (folder is null)
        {
            return false;
        }

        using PeftAdapter adapter = PeftAdapter.Load(folder);
        return adapter.TrainedOn == WeightPrecision.W4A8;
    }
}
