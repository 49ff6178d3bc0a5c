namespace LongCat.ML.Onnx.Adapters;

/// <summary>A module that a graph is to take adapters for.</summary>
/// <param name="Module">Its path in the checkpoint, as <see cref="AdaptableModule.Module"/>; of experts without their number.</param>
public sealed record AdapterSite(string Module)
{
    /// <summary>Whether an adapter multiplies the module's outputs (DoRA): the graph gets the input <see cref="AdapterNames.Gain"/>. False by default.</summary>
    public bool Gain { get; init; }

    /// <summary>The input that says where each adapter's ranks begin: <see cref="AdapterNames.AdapterStart"/> by default. Modules with other ranks take another name.</summary>
    public string Start { get; init; } = AdapterNames.AdapterStart;

    /// <summary>
    /// The input that says which adapter each row has: <see cref="AdapterNames.RowAdapter"/> by default. A module that only some adapters change may count those alone under another
    /// name, with -1 for the rows of the others: of kv_b_proj then only the matrices that differ from the base are in memory.
    /// </summary>
    public string Rows { get; init; } = AdapterNames.RowAdapter;
}
