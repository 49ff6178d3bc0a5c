using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>An embedding table with its adapter, and what it takes to go back.</summary>
internal sealed class AdaptedTable(string path, TokenTable table, EmbeddingAdapter adapter) : IDisposable
{
    private Tensor? _unmerged;

    public string Path { get; } = path;

    public TokenTable Table { get; } = table;

    public EmbeddingAdapter Adapter { get; } = adapter;

    /// <summary>The type its values have on disk.</summary>
    public Checkpoints.TensorType Type { get; init; } = Checkpoints.TensorType.Float32;

    /// <summary>Adds the change to the table.</summary>
    public void Merge()
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        Tensor weight = Table.Module.weight!;
        _unmerged = weight.clone().DetachFromDisposeScope();
        var sum = Table.Dense(ScalarType.Float32).add(Adapter.Delta());
        if (Adapter.Magnitude is not null)
        {
            sum = sum.mul(Adapter.Magnitude.div(Adapter.Norms(Table)));
        }

        weight.copy_(sum);
        Table.Adapter = null;
    }

    /// <summary>Puts the table back, bit by bit.</summary>
    public void Unmerge()
    {
        using var frozen = no_grad();
        Table.Module.weight!.copy_(_unmerged!);
        _unmerged!.Dispose();
        _unmerged = null;
        Table.Adapter = Adapter;
    }

    public void Dispose()
    {
        if (_unmerged is not null)
        {
            Unmerge();
        }

        Table.Adapter = null;
        Adapter.Dispose();
    }
}
