using LongCat.ML.Models;
using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>Completes a text column, or a column of chats through the model's chat template.</summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Generate</description></listheader>
/// <item><term>Trains on data?</term><description>No; <see cref="TextEstimator.Fit"/> reads no row</description></item>
/// <item><term>Input columns</term><description>Text, or for chats two vectors of text (roles and contents); settings of single rows, each if named: Int32 (new tokens, top-k), Single (temperature, top-p), Int64 (seed), text or vector of text (stop strings)</description></item>
/// <item><term>Output columns</term><description>Text; finish reason (text), token counts of prompt and completion (Int32), log-probabilities (variable-length vector of Single), each if named</description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, an ONNX Runtime package in the executable</description></item>
/// <item><term>GPU</term><description>Not needed and not used: with <c>MLContext.GpuDeviceId</c> the model runs on the CPU and says so, or fails where <c>FallbackToCpu</c> is false</description></item>
/// <item><term>Saved with the model</term><description>The settings, content hash and path of the model and of the adapters; the weights stay in their folder</description></item>
/// <item><term>Does not survive Save and plain Load</term><description>Batching: rows then run one by one until <see cref="LongCatCatalog.Load(string)"/> or <see cref="LongCatCatalog.Batched"/></description></item>
/// <item><term>Thread safety</term><description>Estimator and transformer are thread-safe; a PredictionEngine is not</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No</description></item>
/// </list>
/// Where another estimator that makes several passes follows in the pipeline, put AppendCacheCheckpoint after this one: each pass would run the model again.
/// </remarks>
public sealed class GenerateEstimator : TextEstimator
{
    internal GenerateEstimator(MLContext context, GenerateOptions options)
        : base(context, new GenerateStep(options))
    {
        if (GenerateStep.IsChat(options))
        {
            ChatTemplates.Require(options.ModelFolder);
        }
    }
}
