using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Inputs;

/// <summary>
/// Where one of a step's two texts comes from: a text column, or several columns that are put into one text, the same whether rows come from a
/// view or through the mapping of a saved pipeline, which has text columns of fixed names only.
/// </summary>
/// <remarks>Immutable and thread-safe.</remarks>
internal abstract class TextSource
{
    /// <summary>The columns to read, the one that a failing row is named by first.</summary>
    public abstract IReadOnlyList<StepInput> Inputs { get; }

    /// <summary>A reader of the text of whatever row <paramref name="row"/> stands on.</summary>
    /// <param name="row">A row or cursor in which the columns are active.</param>
    /// <param name="schema">The schema in which the columns are looked up.</param>
    public abstract Func<string> Bind(DataViewRow row, DataViewSchema schema);

    /// <summary>Appends what puts the text into the column <paramref name="savedName"/> of a saved pipeline.</summary>
    public abstract EstimatorChain<ITransformer> Save(EstimatorChain<ITransformer> chain, TransformsCatalog transforms, string savedName);
}

/// <summary>A text column.</summary>
internal sealed class ColumnText(string name) : TextSource
{
    public override IReadOnlyList<StepInput> Inputs { get; } = [new StepInput(name, InputKind.Text)];

    public override Func<string> Bind(DataViewRow row, DataViewSchema schema)
    {
        ValueGetter<ReadOnlyMemory<char>> read = row.GetGetter<ReadOnlyMemory<char>>(schema[name]);
        return () =>
        {
            ReadOnlyMemory<char> text = default;
            read(ref text);
            return text.ToString();
        };
    }

    public override EstimatorChain<ITransformer> Save(EstimatorChain<ITransformer> chain, TransformsCatalog transforms, string savedName) =>
        chain.Append<ITransformer>(transforms.CopyColumns(savedName, name));
}
