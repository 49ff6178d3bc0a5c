using LongCat.ML;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training;

namespace Microsoft.ML;

/// <summary>Makes the trainers of LongCat.ML.Training appear on <c>mlContext.LongCat().Trainers</c>.</summary>
public static class LoraCatalog
{
    /// <summary>Adapts a language model to labelled texts: the transformer classifies.</summary>
    /// <param name="trainers">The catalog.</param>
    /// <param name="checkpointFolder">The checkpoint to adapt: a Hugging Face folder.</param>
    /// <param name="outputFolder">The folder to create, see <see cref="LoraTrainerOptions.OutputFolder"/>.</param>
    /// <param name="labelColumnName">The column of labels: text, or a key with text values.</param>
    /// <param name="textColumnName">The text column.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder exists.</exception>
    public static LoraEstimator Lora(this LongCatTrainers trainers, string checkpointFolder, string outputFolder, string labelColumnName = "Label", string textColumnName = "Text") =>
        trainers.Lora(new LoraTrainerOptions { CheckpointFolder = checkpointFolder, OutputFolder = outputFolder, LabelColumnName = labelColumnName, TextColumnName = textColumnName });

    /// <summary>Adapts a language model to texts, prompts with completions, chats or labelled texts.</summary>
    /// <param name="trainers">The catalog.</param>
    /// <param name="options">The settings; do not change them afterwards.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range, or the columns named make no row; the message names it.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    public static LoraEstimator Lora(this LongCatTrainers trainers, LoraTrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(trainers);
        return new LoraEstimator(trainers.Context, options ?? throw new ArgumentNullException(nameof(options)));
    }
}
