using LongCat.ML.Training.Estimators;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Training;

/// <summary>A model with streaming attentions as a step that generates. It runs the ONNX folder that the trainer wrote, with the adapter merged where one was trained.</summary>
/// <remarks>
/// Thread-safe; holds no model, see <see cref="TextTransformer"/>. Saved in a pipeline it is an ordinary step on a model folder, which <c>mlContext.Model.Load</c> and <see cref="LongCatCatalog.Load(string)"/>
/// bring back without the training packages.
/// </remarks>
public sealed class ZigZagTransformer : ITransformer
{
    private readonly TextTransformer step;

    internal ZigZagTransformer(TextTransformer step, string folder, ZigZagReport report)
    {
        this.step = step;
        Folder = folder;
        Report = report;
    }

    bool ITransformer.IsRowToRowMapper => true;

    /// <summary>The folder that the trainer wrote.</summary>
    public string Folder { get; }

    /// <summary>The model with streaming attentions, exported: what Generate, Score, Classify, Embed and Tokenize take.</summary>
    public string ModelFolder => Path.Combine(Folder, ZigZagFolder.Model);

    /// <summary>The checkpoint with streaming attentions; after fine-tuning of all weights with these.</summary>
    public string CheckpointFolder => Path.Combine(Folder, ZigZagFolder.Sparse);

    /// <summary>The adapter on <see cref="CheckpointFolder"/> as PEFT folder; null where none was trained.</summary>
    public string? AdapterFolder => Path.Combine(Folder, ZigZagFolder.Adapter) is var adapter && Directory.Exists(adapter) ? adapter : null;

    /// <summary>The content hash of the model, in lower-case hexadecimal.</summary>
    public string ModelContentHash => step.ModelContentHash;

    /// <summary>What the trainer did.</summary>
    public ZigZagReport Report { get; }

    /// <summary>The input's columns followed by the step's.</summary>
    /// <param name="inputSchema">A schema with the text column.</param>
    /// <returns>The schema of <see cref="Transform"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The column is missing or of another type; the message names it, its type and what was expected.</exception>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => step.GetOutputSchema(inputSchema);

    /// <summary>A view of <paramref name="input"/> with the step's columns. Nothing runs before a cursor reads.</summary>
    /// <param name="input">A view with the text column.</param>
    /// <returns>The view. It is read by one cursor at a time: it cannot be split or shuffled.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The column is missing or of another type; the message names it, its type and what was expected.</exception>
    public IDataView Transform(IDataView input) => step.Transform(input);

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => ((ITransformer)step).GetRowToRowMapper(inputSchema);

    void ICanSaveModel.Save(ModelSaveContext ctx) => ((ICanSaveModel)step).Save(ctx);
}
