namespace LongCat.ML.Onnx.Adapters;

/// <summary>A module that a graph is to take adapters for.</summary>
/// <param name="Module">Its path in the checkpoint, as <see cref="AdaptableModule.Module"/>.</param>
public sealed record AdapterSite(string Module)
{
    /// <summary>Whether an adapter multiplies the module's outputs (DoRA): the graph gets the input <see cref="AdapterNames.Gain"/>. False by default.</summary>
    public bool Gain { get; init; }

    /// <summary>The input that says where each adapter's ranks begin: <see cref="AdapterNames.AdapterStart"/> by default. Modules with other ranks take another name.</summary>
    public string Start { get; init; } = AdapterNames.AdapterStart;
}
