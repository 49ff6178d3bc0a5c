using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// An embedding table as the stack reads it: rows in float32 whatever the table's type, with an adapter, a trained copy (modules_to_save) or gradients for the rows that
/// were read. Not a module: the table's own module is registered where it belongs.
/// </summary>
internal sealed class TokenTable(string path, Embedding module) : IDenseWeight
{
    private readonly bool _narrow = WeightAllocation.Current is { } load && load.TableType != ScalarType.Float32;

    /// <summary>The table's path in the state, without <c>.weight</c>.</summary>
    public string Path { get; } = path;

    public Embedding Module { get; } = module;

    public EmbeddingAdapter? Adapter { get; set; }

    public Parameter? Saved { get; set; }

    /// <summary>Collects the gradients of the rows that were read, or null where the table is not trained so.</summary>
    public SparseRows? Sparse { get; set; }

    /// <summary>Whether the table is bfloat16.</summary>
    public bool IsFrozen => _narrow;

    /// <summary>A table of the type that the current load wants.</summary>
    public static Embedding Create(long rows, long width) => nn.Embedding(rows, width, dtype: WeightAllocation.Current?.TableType);

    /// <summary>Looks up rows.</summary>
    /// <param name="ids">[T] int64.</param>
    /// <returns>[T, width] float32, owned by the caller's dispose scope.</returns>
    public Tensor Rows(Tensor ids)
    {
        if (Saved is not null)
        {
            return Saved.index_select(0, ids);
        }

        if (Sparse is not null && is_grad_enabled())
        {
            return Sparse.Read(Module.weight!, ids);
        }

        var rows = Module.forward(ids);
        if (_narrow)
        {
            rows = rows.to(ScalarType.Float32);
        }

        return Adapter is null ? rows : Adapter.AddTo(this, rows, ids);
    }

    /// <summary>Multiplies by the table: the output matrix of a model whose word embedding is that too.</summary>
    /// <param name="hidden">[T, width].</param>
    /// <returns>[T, rows] float32.</returns>
    public Tensor Multiply(Tensor hidden) =>
        Saved is not null ? nn.functional.linear(hidden, Saved) : _narrow ? FrozenLinear.apply(hidden, this) : nn.functional.linear(hidden, Module.weight!);

    /// <inheritdoc/>
    public Tensor Dense(ScalarType type) => Module.weight!.detach().to(type);
}
