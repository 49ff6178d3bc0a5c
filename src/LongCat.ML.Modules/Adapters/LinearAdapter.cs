using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The adapter of a projection: y = W·x + b + s · B · φβ(A · x) (LoRA 2106.09685, rsLoRA 2312.03732, AFA-LoRA 2512.22455), and with magnitudes
/// y = b + (m / n) ∘ (W·x + s · B·A·x), n the row norms of W + s·B·A, which no gradient passes (DoRA 2402.09353, section 4.3).
/// </summary>
internal sealed class LinearAdapter : IDisposable
{
    private readonly AdapterClock _clock;
    private readonly ulong _stream;
    private readonly Tensor? _squares;

    /// <param name="clock">Shared by the model's adapters.</param>
    /// <param name="module">The projection's path.</param>
    /// <param name="a">[r, in].</param>
    /// <param name="b">[out, r].</param>
    /// <param name="scale">s.</param>
    /// <param name="dropout">The share of inputs that training drops before A.</param>
    /// <param name="squares">With magnitudes: Σ w² of each row of W.</param>
    public LinearAdapter(AdapterClock clock, string module, Parameter a, Parameter b, double scale, double dropout, Tensor? squares)
    {
        (_clock, Module, A, B, Scale, Dropout, _squares) = (clock, module, a, b, scale, dropout, squares);
        _stream = SeededValues.Stream(0, module);
    }

    public string Module { get; }

    public Parameter A { get; }

    public Parameter B { get; }

    /// <summary>m [out] of DoRA, or null.</summary>
    public Parameter? Magnitude { get; init; }

    /// <summary>The vector beside B [out] (lora_bias), or null.</summary>
    public Parameter? Bias { get; init; }

    public double Scale { get; }

    public double Dropout { get; }

    /// <summary>The projection with the adapter.</summary>
    /// <param name="projection">What it sits on.</param>
    /// <param name="input">[.., in].</param>
    /// <returns>[.., out], owned by the caller's dispose scope.</returns>
    public Tensor Forward(Projection projection, Tensor input)
    {
        using var scope = NewDisposeScope();
        if (Magnitude is null)
        {
            return AddChange(projection.Product(input), input).MoveToOuterDisposeScope();
        }

        var scaled = AddChange(projection.Product(input, withBias: false), input).mul(Magnitude.div(Norms(projection)));
        return (projection.Bias is null ? scaled : scaled.add(projection.Bias)).MoveToOuterDisposeScope();
    }

    /// <summary>Adds s · B · φβ(A · x) to a product that nothing else reads.</summary>
    /// <param name="product">[.., out]; may be changed.</param>
    /// <param name="input">[.., in].</param>
    /// <returns>[.., out], owned by the caller's dispose scope.</returns>
    public Tensor AddChange(Tensor product, Tensor input)
    {
        var z = _clock.Activate(nn.functional.linear(_clock.Drop(input, Dropout, _stream), A)).mul(Scale);
        var sum = product.Dimensions == 2 ? product.addmm_(z, B.t()) : product.add(nn.functional.linear(z, B));
        return Bias is null ? sum : sum.add(Bias.mul(Scale));
    }

    /// <summary>n [out]: the norms of the rows of W + s·B·A, without gradient.</summary>
    public Tensor Norms(Projection projection)
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();

        // |w + s·b·A|² = |w|² + 2s · (w·Aᵀ)·b + s² · b·(A·Aᵀ)·b, row by row: the sum itself, as large as W, is never made.
        var transposed = A.t();
        var cross = projection.Dense(A.dtype).mm(transposed).mul(B).sum(1).mul(2 * Scale);
        var square = B.mm(A.mm(transposed)).mul(B).sum(1).mul(Scale * Scale);
        return _squares!.add(cross).add(square).sqrt().MoveToOuterDisposeScope();
    }

    /// <summary>s · B · A [out, in].</summary>
    public Tensor Delta()
    {
        using var scope = NewDisposeScope();
        return B.mm(A).mul(Scale).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
        Magnitude?.Dispose();
        Bias?.Dispose();
        _squares?.Dispose();
    }
}
