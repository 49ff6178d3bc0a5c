using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>Turns a text column into vectors: the model's hidden states after the final norm, pooled over the text's tokens.</summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Embed</description></listheader>
/// <item><term>Trains on data?</term><description>No; <see cref="TextEstimator.Fit"/> reads no row</description></item>
/// <item><term>Input column</term><description>Text</description></item>
/// <item><term>Output column</term><description>Vector of Single of known size (the model's hidden size), of length 1 unless <see cref="EmbedOptions.Normalize"/> is false. An empty row, and a failing one where that is asked for, has NaN everywhere, which ML.NET takes for missing</description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, an ONNX Runtime package in the executable</description></item>
/// <item><term>GPU</term><description>Not needed and not used: with <c>MLContext.GpuDeviceId</c> the model runs on the CPU and says so, or fails where <c>FallbackToCpu</c> is false</description></item>
/// <item><term>Saved with the model</term><description>The settings, the vector's size and the model's content hash and path; the weights stay in their folder</description></item>
/// <item><term>Does not survive Save and plain Load</term><description>Batching: rows then run one by one until <see cref="LongCatCatalog.Load(string)"/> or <see cref="LongCatCatalog.Batched"/>. The vector's known size does survive, so a trainer may follow</description></item>
/// <item><term>Thread safety</term><description>Estimator and transformer are thread-safe; a PredictionEngine is not</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No</description></item>
/// </list>
/// Where a trainer that makes several passes follows in the pipeline, put AppendCacheCheckpoint after this one: each pass would run the model again.
/// </remarks>
public sealed class EmbedEstimator : TextEstimator
{
    internal EmbedEstimator(MLContext context, EmbedOptions options)
        : base(context, EmbedStep.Create(options))
    {
    }
}
