using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A projection with its adapter, and what it takes to go back.</summary>
internal sealed class AdaptedProjection(string path, Projection projection, LinearAdapter adapter) : IDisposable
{
    public string Path { get; } = path;

    public Projection Projection { get; } = projection;

    public LinearAdapter Adapter { get; } = adapter;

    /// <summary>The type its values have on disk.</summary>
    public Checkpoints.TensorType Type { get; init; } = Checkpoints.TensorType.Float32;

    /// <summary>PiSSA: the weight before A and B were split off it.</summary>
    public Tensor? Original { get; set; }

    /// <summary>PiSSA: A and B at the start.</summary>
    public (float[] A, float[] B)? Initial { get; set; }

    /// <summary>Weight and bias before a merge, or null.</summary>
    public (Tensor Weight, Tensor? Bias)? Unmerged { get; set; }

    /// <summary>Takes s·B·A off the original weight (PiSSA).</summary>
    public void SplitOff()
    {
        using var frozen = no_grad();
        using var delta = Adapter.Delta();
        using var rest = Original!.sub(delta);
        Projection.Weight!.copy_(rest);
    }

    /// <summary>Adds the change to the weight: exact for a linear adapter, up to rounding.</summary>
    public void Merge()
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        var weight = Projection.Weight!;
        Unmerged = (weight.clone().DetachFromDisposeScope(), Adapter.Bias is null ? null : Projection.Bias!.clone().DetachFromDisposeScope());
        var sum = Projection.Dense(ScalarType.Float32).add(Adapter.Delta());
        if (Adapter.Magnitude is not null)
        {
            sum = sum.mul(Adapter.Magnitude.div(Adapter.Norms(Projection)).unsqueeze(1));
        }

        if (Adapter.Bias is not null)
        {
            Projection.Bias!.add_(Adapter.Bias.mul(Adapter.Scale));
        }

        weight.copy_(sum);
        Projection.Adapter = null;
    }

    /// <summary>Puts the weight back, bit by bit.</summary>
    public void Unmerge()
    {
        using var frozen = no_grad();
        var (weight, bias) = Unmerged!.Value;
        Projection.Weight!.copy_(weight);
        weight.Dispose();
        if (bias is not null)
        {
            Projection.Bias!.copy_(bias);
            bias.Dispose();
        }

        Unmerged = null;
        Projection.Adapter = Adapter;
    }

    public void Dispose()
    {
        if (Unmerged is not null)
        {
            Unmerge();
        }

        Projection.Adapter = null;
        if (Original is not null)
        {
            using var frozen = no_grad();
            Projection.Weight!.copy_(Original);
            Original.Dispose();
        }

        Adapter.Dispose();
    }
}
