using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training;

/// <summary>Settings of <see cref="ZigZagEstimator"/>.</summary>
public sealed class ZigZagTrainerOptions
{
    /// <summary>The checkpoint: a Hugging Face folder with config.json, safetensors and tokenizer.json. It is only read.</summary>
    public string CheckpointFolder { get; set; } = "";

    /// <summary>
    /// The folder to create: <c>checkpoint</c> (the model with streaming attentions), <c>onnx</c> (the same, which the transformer runs), <c>zigzag.json</c> and <c>report.html</c> (the calibration), after
    /// fine-tuning <c>fine-tuning.html</c> and, where an adapter was trained, <c>adapter</c>. It is whole or absent.
    /// </summary>
    public string OutputFolder { get; set; } = "";

    /// <summary>Whether an <see cref="OutputFolder"/> that such a trainer made may be replaced.</summary>
    public bool Overwrite { get; set; }

    /// <summary>The text column: texts longer than the pattern's span. The transformer completes it.</summary>
    public string TextColumnName { get; set; } = "Text";

    /// <summary>The pattern, and how α is trained; its <see cref="ZigZagCalibrationOptions.Share"/> of attentions, those of the lowest α, become streaming.</summary>
    public ZigZagCalibrationOptions Calibration { get; set; } = new();

    /// <summary>A longer context at the same time, or null.</summary>
    public ContextExtension? Extension { get; set; }

    /// <summary>
    /// Fine-tuning of the model with its streaming attentions on the same texts, or null for none: an adapter, or all weights where its <see cref="FineTuningOptions.Lora"/> is null. Give it
    /// <see cref="FineTuningOptions.Columns"/> above the span, else no text shows the difference.
    /// </summary>
    public FineTuningOptions? FineTuning { get; set; }

    /// <summary>
    /// The seed of everything random, which then goes before those of <see cref="Calibration"/> and <see cref="FineTuning"/>; null draws one from the context. The log and
    /// <see cref="ZigZagReport.Seed"/> name it.
    /// </summary>
    public ulong? Seed { get; set; }

    /// <summary>What happens to rows that cannot be encoded. Rows without a text are left out and counted in any case.</summary>
    public BadRows BadRows { get; set; } = BadRows.Fail;

    /// <summary>How the model that the transformer runs is stored; null for the checkpoint's own precision.</summary>
    public ExportOptions? Export { get; set; }

    /// <summary>How the transformer generates: output columns, number of tokens, stop strings, engine. Model and input column are the trainer's.</summary>
    public GenerateOptions Generate { get; set; } = new();
}
