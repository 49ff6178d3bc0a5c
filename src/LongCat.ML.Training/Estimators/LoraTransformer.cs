using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Training.Estimators;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Training;

/// <summary>A tuned model as a step: classifies where it was trained on labels, else generates. It runs the ONNX folder that the trainer wrote, with the adapter merged.</summary>
/// <remarks>
/// Thread-safe; holds no model, see <see cref="TextTransformer"/>. Saved in a pipeline it is an ordinary step on a model folder, which <c>mlContext.Model.Load</c> and <see cref="LongCatCatalog.Load(string)"/>
/// bring back without the training packages.
/// </remarks>
public sealed class LoraTransformer : ITransformer
{
    private readonly MLContext context;
    private readonly TextTransformer step;
    private readonly string checkpoint;

    internal LoraTransformer(MLContext context, TextTransformer step, string checkpoint, string folder, LoraReport report)
    {
        this.context = context;
        this.step = step;
        this.checkpoint = checkpoint;
        Folder = folder;
        Report = report;
    }

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>The folder that the trainer wrote.</summary>
    public string Folder { get; }

    /// <summary>The tuned model, exported: what Generate, Score, Classify, Embed and Tokenize take.</summary>
    public string ModelFolder => Path.Combine(Folder, TunedFolder.Model);

    /// <summary>The adapter as PEFT folder.</summary>
    public string AdapterFolder => Path.Combine(Folder, TunedFolder.Adapter);

    /// <summary>The content hash of the tuned model, in lower-case hexadecimal.</summary>
    public string ModelContentHash => step.ModelContentHash;

    /// <summary>What the trainer did.</summary>
    public LoraReport Report { get; }

    /// <summary>The input's columns followed by the step's.</summary>
    /// <param name="inputSchema">A schema with the column that is completed or classified; the others of the training are not needed.</param>
    /// <returns>The schema of <see cref="Transform"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type; the message names it, its type and what was expected.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => step.GetOutputSchema(inputSchema);

    /// <summary>A view of <paramref name="input"/> with the step's columns. Nothing runs before a cursor reads.</summary>
    /// <param name="input">A view with the column that is completed or classified.</param>
    /// <returns>The view. It is read by one cursor at a time: it cannot be split or shuffled.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type; the message names it, its type and what was expected.</exception>
    public IDataView Transform(IDataView input) => step.Transform(input);

    /// <summary>Writes the adapter as PEFT folder (adapter_config.json, adapter_model.safetensors, with AFA-LoRA afa_state.json).</summary>
    /// <param name="folder">The folder: whole or absent. Only an adapter's folder is replaced.</param>
    /// <exception cref="AdapterException">The trainer's folder is gone or changed, or another folder is in the way.</exception>
    public void SaveAdapter(string folder)
    {
        Throw.IfBlank(folder, nameof(folder));
        using PeftAdapter adapter = PeftAdapter.Load(AdapterFolder);
        adapter.Save(folder);
    }

    /// <summary>Writes the checkpoint with the adapter merged as a Hugging Face folder.</summary>
    /// <param name="folder">The folder to create: it is whole or absent.</param>
    /// <param name="options">What may be replaced, and whether an adapter trained on quantized weights may be merged into others; null for neither.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <exception cref="AdapterException">The trainer's folder is gone or changed, or the adapter cannot be merged: it was trained on quantized weights, for instance.</exception>
    /// <exception cref="CheckpointException">The checkpoint is gone, or the folder exists.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void Merge(string folder, MergeOptions? options = null, CancellationToken cancellationToken = default)
    {
        Throw.IfBlank(folder, nameof(folder));
        using PeftAdapter adapter = PeftAdapter.Load(AdapterFolder);
        MergedCheckpoint.Write(checkpoint, [adapter], folder, options, cancellationToken: cancellationToken);
    }

    /// <summary>Writes the tuned model as an ONNX folder, the adapter merged.</summary>
    /// <param name="folder">The folder to create: it is whole or absent.</param>
    /// <param name="options">How; null for the checkpoint's own precision, after training on 4-bit weights (<see cref="FineTuning.FineTuningOptions.Base"/>) for 4 bits.</param>
    /// <param name="calibration">With <see cref="WeightPrecision.W4A8"/>: what the tuned model reads for calibration, best such rows as it will see; null takes random tokens where the recipe needs any.</param>
    /// <param name="cancellationToken">Ends it; nothing is left behind.</param>
    /// <returns>What was written; <see cref="ExportResult.Folder"/> is what Generate, Score, Classify, Embed and Tokenize take.</returns>
    /// <exception cref="AdapterException">The trainer's folder is gone or changed, or the adapter cannot be merged.</exception>
    /// <exception cref="CheckpointException">The checkpoint is gone, or the folder may not be replaced.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public ExportResult Export(string folder, ExportOptions? options = null, CalibrationData? calibration = null, CancellationToken cancellationToken = default)
    {
        Throw.IfBlank(folder, nameof(folder));
        return TunedFolder.Export(context, checkpoint, AdapterFolder, folder, options, calibration is null ? null : () => calibration, cancellationToken);
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => ((ITransformer)step).GetRowToRowMapper(inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx) => ((ICanSaveModel)step).Save(ctx);
}
