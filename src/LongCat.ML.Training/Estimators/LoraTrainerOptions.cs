using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training;

/// <summary>Settings of <see cref="LoraEstimator"/>. Name the columns of exactly one kind of row.</summary>
public sealed class LoraTrainerOptions
{
    /// <summary>The checkpoint to adapt: a Hugging Face folder with config.json, safetensors and tokenizer.json. It is only read.</summary>
    public string CheckpointFolder { get; set; } = "";

    /// <summary>
    /// The folder to create: <c>adapter</c> (PEFT), <c>onnx</c> (the tuned model, which the transformer runs) and <c>report.html</c>. It is whole or absent. A saved pipeline holds none of it and finds
    /// <c>onnx</c> by its content, as it finds every model (see <see cref="LongCatOptions.ModelSearchPath"/>).
    /// </summary>
    public string OutputFolder { get; set; } = "";

    /// <summary>Whether an <see cref="OutputFolder"/> that such a trainer made may be replaced.</summary>
    public bool Overwrite { get; set; }

    /// <summary>The text column: learned whole, or the text of a <see cref="LabelColumnName"/>. The transformer completes it, or classifies it.</summary>
    public string? TextColumnName { get; set; }

    /// <summary>The column of labels, text or key with text values. Beside <see cref="TextColumnName"/>; the transformer then classifies.</summary>
    public string? LabelColumnName { get; set; }

    /// <summary>The column of prompts; the transformer completes it.</summary>
    public string? PromptColumnName { get; set; }

    /// <summary>The column of what is to be written behind a prompt, its leading space included where there is one. Beside <see cref="PromptColumnName"/>.</summary>
    public string? CompletionColumnName { get; set; }

    /// <summary>The column of who speaks in each message of a chat (a vector of text); <c>assistant</c> messages are learned. The transformer answers such chats.</summary>
    public string? RolesColumnName { get; set; }

    /// <summary>The column of what each message says (a vector of text). Beside <see cref="RolesColumnName"/>.</summary>
    public string? ContentsColumnName { get; set; }

    /// <summary>How training runs; its <see cref="FineTuningOptions.Lora"/> says what the adapter is.</summary>
    public FineTuningOptions FineTuning { get; set; } = new();

    /// <summary>
    /// The seed of everything random, which then goes before those of <see cref="FineTuning"/>; null draws one from the context: with <c>new MLContext(seed)</c> the same pipeline made in the same order
    /// gives the same weights. The log and <see cref="LoraReport.Seed"/> name it.
    /// </summary>
    public ulong? Seed { get; set; }

    /// <summary>What happens to rows that cannot be encoded (unequal numbers of roles and contents, a chat that the template refuses). Rows without anything to learn are left out and counted in any case.</summary>
    public BadRows BadRows { get; set; } = BadRows.Fail;

    /// <summary>How the model that the transformer runs is stored; null for the checkpoint's own precision, and for 4 bits where <see cref="FineTuningOptions.Base"/> is W4A8. The adapter is merged into it.</summary>
    public ExportOptions? Export { get; set; }

    /// <summary>
    /// What a label is as text behind the prompt, by label; those that are missing have a space, the label and a line end. No text may begin another: their likelihoods would not be those of exclusive events.
    /// </summary>
    public IReadOnlyDictionary<string, string> LabelTexts { get; set; } = new Dictionary<string, string>();

    /// <summary>
    /// How the transformer classifies: output columns, prompt template (training uses the same), engine. Model, labels and input column are the trainer's. Only for a <see cref="LabelColumnName"/>.
    /// </summary>
    public ClassifyOptions Classify { get; set; } = new();

    /// <summary>How the transformer generates: output columns, number of tokens, stop strings, engine. Model and input columns are the trainer's. Not for a <see cref="LabelColumnName"/>.</summary>
    public GenerateOptions Generate { get; set; } = new();
}
