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

    /// <exception cref="CheckpointException">The folder exists, and may not be replaced or is no such folder.</exception>
    public static void Check(string folder, bool overwrite)
    {
        if (File.Exists(folder))
        {
            throw new CheckpointException(folder, "is a file; expected a folder to create.");
        }

        if (!Directory.Exists(folder) || (!Directory.EnumerateFileSystemEntries(folder).Any()))
        {
            return;
        }

        bool ours = File.Exists(Path.Combine(folder, Adapter, "adapter_config.json")) && File.Exists(Path.Combine(folder, Model, ModelManifest.FileName));
        if (!overwrite || !ours)
        {
            throw new CheckpointException(folder, ours
                ? $"exists. Name another folder, or set {nameof(LoraTrainerOptions)}.{nameof(LoraTrainerOptions.Overwrite)}."
                : $"exists and is no folder that this trainer made ('{Adapter}' and '{Model}' in it), so it is not replaced. Name another one.");
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
        string output = Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.OutputFolder));
        string temporary = Path.Combine(Path.GetDirectoryName(output)!, $".{Path.GetFileName(output)}.lora-{Guid.NewGuid():N}");
        Directory.CreateDirectory(temporary);
        try
        {
            string adapter = Path.Combine(temporary, Adapter);
            tuner.Save(adapter);
            File.Move(Path.Combine(adapter, Report), Path.Combine(temporary, Report));
            Export(context, checkpoint, adapter, Path.Combine(temporary, Model), options.Export, calibration, cancellationToken);
            if (Directory.Exists(output))
            {
                Check(output, options.Overwrite);
                Directory.Delete(output, recursive: true);
            }

            Directory.Move(temporary, output);
            return output;
        }
        finally
        {
            if (Directory.Exists(temporary))
            {
                Directory.Delete(temporary, recursive: true);
            }
        }
    }

    /// <summary>Exports the checkpoint with the adapter merged, where there is one.</summary>
    public static ExportResult Export(
        MLContext context, string checkpoint, string? adapter, string folder, ExportOptions? options, Func<CalibrationData>? calibration, CancellationToken cancellationToken)
    {
        // The draft head was not adapted, and drafts for another model.
        options = (options ?? new ExportOptions { IncludeDraft = false }) with { Adapter = adapter };
        return options.Precision == WeightPrecision.W4A8 && options.Statistics is null
            ? context.LongCat().Quantize(checkpoint, folder, options.Quantization, calibration?.Invoke(), options, cancellationToken: cancellationToken).Export
            : context.LongCat().ExportToOnnx(checkpoint, folder, options, cancellationToken: cancellationToken);
    }
}
