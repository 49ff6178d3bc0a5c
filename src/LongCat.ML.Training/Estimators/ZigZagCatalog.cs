using LongCat.ML;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training;

namespace Microsoft.ML;

/// <summary>Makes <see cref="ZigZagEstimator"/> appear on <c>mlContext.LongCat().Trainers</c>.</summary>
public static class ZigZagCatalog
{
    /// <summary>Makes a language model's attentions streaming where texts show that little is lost.</summary>
    /// <param name="trainers">The catalog.</param>
    /// <param name="checkpointFolder">The checkpoint: a Hugging Face folder.</param>
    /// <param name="outputFolder">The folder to create, see <see cref="ZigZagTrainerOptions.OutputFolder"/>.</param>
    /// <param name="textColumnName">The text column.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder exists.</exception>
    public static ZigZagEstimator ZigZag(this LongCatTrainers trainers, string checkpointFolder, string outputFolder, string textColumnName = "Text") =>
        trainers.ZigZag(new ZigZagTrainerOptions { CheckpointFolder = checkpointFolder, OutputFolder = outputFolder, TextColumnName = textColumnName });

    /// <summary>Makes a language model's attentions streaming where texts show that little is lost.</summary>
    /// <param name="trainers">The catalog.</param>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    public static ZigZagEstimator ZigZag(this LongCatTrainers trainers, ZigZagTrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(trainers);
        return new ZigZagEstimator(trainers.Context, options ?? throw new ArgumentNullException(nameof(options)));
    }
}
