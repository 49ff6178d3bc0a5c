using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>The log-likelihood of a text, or of a continuation after a text.</summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Score</description></listheader>
/// <item><term>Trains on data?</term><description>No; <see cref="TextEstimator.Fit"/> reads no row</description></item>
/// <item><term>Input columns</term><description>Text; a second text column if a continuation is named</description></item>
/// <item><term>Output columns</term><description>Single (natural logarithm, summed; NaN where there is nothing to score); perplexity (Single), token count (Int32) and the likelihood of each token (variable-length vector of Single), each if named. An empty row has NaN, 0 and an empty vector</description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, an ONNX Runtime package in the executable</description></item>
/// <item><term>GPU</term><description>Not needed and not used: with <c>MLContext.GpuDeviceId</c> the model runs on the CPU and says so, or fails where <c>FallbackToCpu</c> is false</description></item>
/// <item><term>Saved with the model</term><description>The settings, content hash and path of the model and of the adapters; the weights stay in their folder</description></item>
/// <item><term>Does not survive Save and plain Load</term><description>Batching: rows then run one by one until <see cref="LongCatCatalog.Load(string)"/> or <see cref="LongCatCatalog.Batched"/></description></item>
/// <item><term>Thread safety</term><description>Estimator and transformer are thread-safe; a PredictionEngine is not</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No</description></item>
/// </list>
/// Where another estimator that makes several passes follows in the pipeline, put AppendCacheCheckpoint after this one: each pass would run the model again.
/// </remarks>
public sealed class ScoreEstimator : TextEstimator
{
    internal ScoreEstimator(MLContext context, ScoreOptions options)
        : base(context, new ScoreStep(options))
    {
    }
}
