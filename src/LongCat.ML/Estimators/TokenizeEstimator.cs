using LongCat.ML.Steps;
using Microsoft.ML;

namespace LongCat.ML;

/// <summary>Turns a text column into token ids.</summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Tokenize</description></listheader>
/// <item><term>Trains on data?</term><description>No; <see cref="TextEstimator.Fit"/> reads no row</description></item>
/// <item><term>Input column</term><description>Text</description></item>
/// <item><term>Output column</term><description>Vector of Int32 whose length differs from row to row</description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML</description></item>
/// <item><term>GPU</term><description>Not used</description></item>
/// <item><term>Saved with the model</term><description>The settings and the content hash and path of tokenizer.json; the file stays where it is</description></item>
/// <item><term>Does not survive Save and plain Load</term><description>Reading ahead; everything else does</description></item>
/// <item><term>Thread safety</term><description>Estimator and transformer are thread-safe; a PredictionEngine is not</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No</description></item>
/// </list>
/// Cheap enough to run again in every pass of a later estimator: AppendCacheCheckpoint is worth its memory only for long texts.
/// </remarks>
public sealed class TokenizeEstimator : TextEstimator
{
    internal TokenizeEstimator(MLContext context, TokenizeOptions options)
        : base(context, new TokenizeStep(options))
    {
    }
}
