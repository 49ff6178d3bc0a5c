using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML;

public sealed partial class LongCatCatalog
{
    /// <summary>Writes a Hugging Face checkpoint as the ONNX folder that the steps run on.</summary>
    /// <param name="checkpointFolder">The folder with config.json, the safetensors files and tokenizer.json.</param>
    /// <param name="outputFolder">The folder to create: it is whole or absent.</param>
    /// <param name="precision">How matrices and tables are stored; null keeps the checkpoint's own precision.</param>
    /// <returns>What was written; <see cref="ExportResult.Folder"/> is what Generate, Score, Classify, Embed and Tokenize take.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder exists.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    public ExportResult ExportToOnnx(string checkpointFolder, string outputFolder, WeightPrecision? precision = null) =>
        ExportToOnnx(checkpointFolder, outputFolder, new ExportOptions { Precision = precision });

    /// <summary>Writes a Hugging Face checkpoint as the ONNX folder that the steps run on.</summary>
    /// <param name="checkpointFolder">The folder with config.json, the safetensors files and tokenizer.json.</param>
    /// <param name="outputFolder">The folder to create: it is whole or absent.</param>
    /// <param name="options">
    /// How. With <see cref="WeightPrecision.W4A8"/> and a recipe that needs statistics, and none in <see cref="ExportOptions.Statistics"/>, the model is calibrated on random tokens first;
    /// rows of your own do better (see <see cref="Quantize(string, string, IDataView, string, QuantizationOptions?)"/>).
    /// </param>
    /// <param name="progress">Told how many bytes of the weights are written, or null. Called on this thread. <c>MLContext.Log</c> gets every tenth.</param>
    /// <param name="cancellationToken">Ends the export; nothing is left behind.</param>
    /// <returns>What was written; <see cref="ExportResult.Folder"/> is what Generate, Score, Classify, Embed and Tokenize take.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public ExportResult ExportToOnnx(
        string checkpointFolder, string outputFolder, ExportOptions options, IProgress<ExportProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Precision == WeightPrecision.W4A8 && options.Statistics is null)
        {
            return Quantize(checkpointFolder, outputFolder, options.Quantization, null, options, cancellationToken: cancellationToken, progress: progress is null ? null : new WritingOnly(progress)).Export;
        }

        using IChannel channel = ((IChannelProvider)context).Start("LongCat");
        ExportResult result = OnnxExporter.Export(checkpointFolder, outputFolder, options, new LoggedProgress(channel, progress), cancellationToken);
        channel.Info(MessageSensitivity.None, $"Exported '{checkpointFolder}' to '{result.Folder}': {result.TensorCount} tensors, {result.DataBytes} bytes in {result.Elapsed.TotalSeconds:F1} s.");
        return result;
    }

    /// <summary>Tells the log of every tenth of an export, and the caller of everything.</summary>
    private sealed class LoggedProgress(IChannel channel, IProgress<ExportProgress>? caller) : IProgress<ExportProgress>
    {
        private long tenths;

        public void Report(ExportProgress value)
        {
            caller?.Report(value);
            long reached = value.BytesTotal > 0 ? (long)(10.0 * value.BytesDone / value.BytesTotal) : 0;
            if (reached > tenths)
            {
                tenths = reached;
                channel.Info(MessageSensitivity.None, $"Exporting: {10 * reached} % of {value.BytesTotal} bytes written, now at '{value.Tensor}'.");
            }
        }
    }

    /// <summary>The export's progress of a quantization that ends in an export.</summary>
    private sealed class WritingOnly(IProgress<ExportProgress> caller) : IProgress<QuantizationProgress>
    {
        public void Report(QuantizationProgress value)
        {
            if (value.Stage == QuantizationStage.Write)
            {
                caller.Report(new ExportProgress(value.Done, value.Total, value.Detail ?? ""));
            }
        }
    }
}
