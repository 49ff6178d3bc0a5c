using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The adapter of a table of vectors: row + s · B · A[:, id] (LoRA 2106.09685); with magnitudes (m / n) ∘ that, n the norms of the columns of the changed table.
/// It has neither dropout nor an activation.
/// </summary>
internal sealed class EmbeddingAdapter(string module, Parameter a, Parameter b, double scale) : IDisposable
{
    public string Module { get; } = module;

    /// <summary>[r, rows].</summary>
    public Parameter A { get; } = a;

    /// <summary>[width, r].</summary>
    public Parameter B { get; } = b;

    public double Scale { get; } = scale;

    /// <summary>m [width] of DoRA, or null.</summary>
    public Parameter? Magnitude { get; init; }

    /// <summary>With magnitudes: Σ w² of each column of the table.</summary>
    public Tensor? Squares { get; init; }

    /// <summary>Adds the change of rows.</summary>
    /// <param name="table">What it sits on.</param>
    /// <param name="rows">[T, width].</param>
    /// <param name="ids">[T] int64.</param>
    /// <returns>[T, width], owned by the caller's dispose scope.</returns>
    public Tensor AddTo(TokenTable table, Tensor rows, Tensor ids)
    {
        using var scope = NewDisposeScope();
        var sum = rows.add(nn.functional.linear(A.index_select(1, ids).t().mul(Scale), B));
        return (Magnitude is null ? sum : sum.mul(Magnitude.div(Norms(table)))).MoveToOuterDisposeScope();
    }

    /// <summary>n [width]: the norms of the columns of the changed table, without gradient.</summary>
    public Tensor Norms(TokenTable table)
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        var cross = A.mm(table.Dense(A.dtype)).t().mul(B).sum(1).mul(2 * Scale);
        var square = B.mm(A.mm(A.t())).mul(B).sum(1).mul(Scale * Scale);
        return Squares!.add(cross).add(square).sqrt().MoveToOuterDisposeScope();
    }

    /// <summary>s · (B · A)ᵀ [rows, width].</summary>
    public Tensor Delta()
    {
        using var scope = NewDisposeScope();
        return A.t().mm(B.t()).mul(Scale).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
        Magnitude?.Dispose();
        Squares?.Dispose();
    }
}
