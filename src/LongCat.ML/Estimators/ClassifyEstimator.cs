using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>Chooses one of a set of labels for a text: the model scores each label as a continuation of the prompt, and can say nothing else.</summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Classify</description></listheader>
/// <item><term>Trains on data?</term><description>No (zero-shot, or few-shot with examples in the prompt template)</description></item>
/// <item><term>Input column</term><description>Text</description></item>
/// <item><term>Output columns</term><description>PredictedLabel: key of UInt32 with the labels as key values; Score: vector of Single of known size with the labels as slot names, softmax of the labels' log-likelihoods. An empty row has the missing key and NaN scores</description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, an ONNX Runtime package in the executable</description></item>
/// <item><term>GPU</term><description>Not needed and not used: with <c>MLContext.GpuDeviceId</c> the model runs on the CPU and says so, or fails where <c>FallbackToCpu</c> is false</description></item>
/// <item><term>Saved with the model</term><description>The settings, content hash and path of the model and of the adapters; the weights stay in their folder</description></item>
/// <item><term>Does not survive Save and plain Load</term><description>Batching, and the known size and slot names of Score (the label is still a key); <see cref="LongCatCatalog.Load(string)"/> or <see cref="LongCatCatalog.Batched"/> bring them back</description></item>
/// <item><term>Thread safety</term><description>Estimator and transformer are thread-safe; a PredictionEngine is not</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No</description></item>
/// </list>
/// Where another estimator that makes several passes follows in the pipeline, put AppendCacheCheckpoint after this one: each pass would run the model again.
/// </remarks>
public sealed class ClassifyEstimator : TextEstimator
{
    internal ClassifyEstimator(MLContext context, ClassifyOptions options)
        : base(context, new ClassifyStep(options))
    {
    }
}
