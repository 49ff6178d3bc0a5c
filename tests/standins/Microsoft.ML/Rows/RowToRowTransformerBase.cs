using Microsoft.ML.Rows;

namespace Microsoft.ML.Data;

/// <summary>A transformer that is nothing but a binding, under the real library's name: callers' metadata refers to its Transform.</summary>
public abstract class RowToRowTransformerBase : ITransformer
{
    private protected RowToRowTransformerBase()
    {
    }

    bool ITransformer.IsRowToRowMapper => true;

    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => Bind(inputSchema).OutputSchema;

    public IDataView Transform(IDataView input) => new MappedView(Bind(input.Schema), input);

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => new BoundMapper(Bind(inputSchema));

    void ICanSaveModel.Save(ModelSaveContext ctx) => Save(ctx);

    internal abstract RowBinding Bind(DataViewSchema input);

    private protected abstract void Save(ModelSaveContext ctx);

    private protected static DataViewSchema.Column Find(DataViewSchema schema, string name) => schema.GetColumnOrNull(name)
        ?? throw new ArgumentOutOfRangeException(nameof(schema), $"Could not find input column '{name}'");
}
