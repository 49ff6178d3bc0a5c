using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML;

public sealed partial class LongCatCatalog
{
    /// <summary>Writes a Hugging Face checkpoint as an ONNX folder with 4-bit weights and 8-bit activations, calibrated on the texts of a view.</summary>
    /// <param name="checkpointFolder">The folder with config.json, the safetensors files and tokenizer.json.</param>
    /// <param name="outputFolder">The folder to create: it is whole or absent.</param>
    /// <param name="calibration">Rows such as the model will see: <see cref="CalibrationData.DefaultSamples"/> of them are drawn, <see cref="CalibrationData.DefaultSampleTokens"/> tokens of each.</param>
    /// <param name="columnName">The text column.</param>
    /// <param name="options">The recipe; null takes <see cref="QuantizationRecipe.LongCat"/>.</param>
    /// <returns>What was written; <see cref="QuantizationResult.Folder"/> is what Generate, Score, Classify, Embed and Tokenize take.</returns>
    /// <remarks>
    /// <list type="table">
    /// <listheader><term>Characteristic</term><description>Quantize</description></listheader>
    /// <item><term>Trains on data?</term><description>No gradient of the model; rows are read once, on the calling thread, and their statistics choose the scales</description></item>
    /// <item><term>Input columns</term><description>Text</description></item>
    /// <item><term>Output</term><description>A model folder, not a column: the steps take it in the place of any other</description></item>
    /// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, an ONNX Runtime package in the executable</description></item>
    /// <item><term>GPU</term><description>Not needed and not used</description></item>
    /// <item><term>Disk</term><description>Beside the output, until it is finished: the model in float32, and Gram matrices beyond a quarter of the memory (<see cref="CalibrationOptions.MemoryBudgetBytes"/>)</description></item>
    /// <item><term>Saved with the model</term><description>Nothing of the rows; a pipeline on the folder is saved as on any other, by content hash</description></item>
    /// <item><term>Thread safety</term><description>Thread-safe</description></item>
    /// </list>
    /// </remarks>
    /// <exception cref="ArgumentException">An option is out of range, or the view has no such text column.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder exists.</exception>
    /// <exception cref="QuantizationException">A weight is not finite, or the kernel's sums could overflow.</exception>
    /// <exception cref="InferenceException">The float model cannot run, or its activations are not finite.</exception>
    /// <exception cref="InvalidDataException">No row is usable.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    public QuantizationResult Quantize(string checkpointFolder, string outputFolder, IDataView calibration, string columnName = "Text", QuantizationOptions? options = null) =>
        Quantize(checkpointFolder, outputFolder, options, CalibrationData.FromColumn(calibration, columnName));

    /// <summary>Writes a Hugging Face checkpoint as an ONNX folder with 4-bit weights and 8-bit activations.</summary>
    /// <param name="checkpointFolder">The folder with config.json, the safetensors files and tokenizer.json.</param>
    /// <param name="outputFolder">The folder to create: it is whole or absent.</param>
    /// <param name="options">The recipe; null takes <see cref="QuantizationRecipe.LongCat"/>.</param>
    /// <param name="calibration">What the model reads for calibration; null takes random tokens where the recipe needs any.</param>
    /// <param name="export">Everything else about the folder; null for the defaults.</param>
    /// <param name="runtime">How calibration uses the machine; null for the defaults.</param>
    /// <param name="progress">Told of every stage, or null. Called on this thread. <c>MLContext.Log</c> gets every tenth.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <returns>What was written; <see cref="QuantizationResult.Folder"/> is what Generate, Score, Classify, Embed and Tokenize take.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or two contradict each other.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    /// <exception cref="QuantizationException">A weight is not finite, or the kernel's sums could overflow.</exception>
    /// <exception cref="InferenceException">The float model cannot run, or its activations are not finite.</exception>
    /// <exception cref="InvalidDataException">No row is usable.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public QuantizationResult Quantize(
        string checkpointFolder,
        string outputFolder,
        QuantizationOptions? options,
        CalibrationData? calibration,
        ExportOptions? export = null,
        CalibrationOptions? runtime = null,
        IProgress<QuantizationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        using IChannel channel = ((IChannelProvider)context).Start("LongCat");
        QuantizationResult result = ModelQuantizer.Quantize(
            checkpointFolder, outputFolder, options, calibration, export, runtime, new LoggedQuantization(channel, progress), cancellationToken);
        if (result.Calibration is { Unusable: > 0 } summary)
        {
            channel.Warning(MessageSensitivity.None, $"{summary.Unusable} of {summary.Rows} calibration rows were passed over. The first: {summary.FirstUnusable}");
        }

        channel.Info(
            MessageSensitivity.None,
            $"Quantized '{checkpointFolder}' to '{result.Folder}': {result.Export.TensorCount} tensors, {result.Export.DataBytes} bytes in {result.Elapsed.TotalSeconds:F1} s, "
            + $"calibrated on {result.Calibration?.Tokens ?? 0} {(result.Calibration?.DataFree == true ? "random " : "")}tokens.");
        return result;
    }

    /// <summary>Tells the log of every tenth of each stage, and the caller of everything.</summary>
    private sealed class LoggedQuantization(IChannel channel, IProgress<QuantizationProgress>? caller) : IProgress<QuantizationProgress>
    {
        private QuantizationStage stage;
        private long tenths;

        public void Report(QuantizationProgress value)
        {
            caller?.Report(value);
            if (value.Stage != stage)
            {
                stage = value.Stage;
                tenths = 0;
            }

            long reached = value.Total > 0 ? (long)(10.0 * value.Done / value.Total) : 0;
            if (reached > tenths)
            {
                tenths = reached;
                string unit = stage == QuantizationStage.Calibrate ? "tokens read" : "bytes written";
                channel.Info(MessageSensitivity.None, $"Quantizing, {stage switch { QuantizationStage.Probe => "float graph", QuantizationStage.Calibrate => "calibration", _ => "weights" }}: {10 * reached} % of {value.Total} {unit}.");
            }
        }
    }
}
