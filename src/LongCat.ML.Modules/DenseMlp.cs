using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The SwiGLU feed-forward block: <c>down(silu(gate(x)) · up(x))</c>, without biases (LongCat-Flash, 2509.01322).</summary>
/// <remarks>State: <c>gate_proj.weight</c>, <c>up_proj.weight</c> [inner, hidden], <c>down_proj.weight</c> [hidden, inner]. The same block is a routed expert.</remarks>
public sealed class DenseMlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear gate_proj;
    private readonly Linear up_proj;
    private readonly Linear down_proj;

    /// <summary>Creates the block.</summary>
    /// <param name="hidden">Width of input and output.</param>
    /// <param name="inner">Width between the projections.</param>
    public DenseMlp(long hidden, long inner)
        : base(nameof(DenseMlp))
    {
        gate_proj = nn.Linear(hidden, inner, hasBias: false);
        up_proj = nn.Linear(hidden, inner, hasBias: false);
        down_proj = nn.Linear(inner, hidden, hasBias: false);
        RegisterComponents();
    }

    /// <summary>Applies the block.</summary>
    /// <param name="input">[.., hidden], float32.</param>
    /// <returns>[.., hidden], owned by the caller's dispose scope.</returns>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var gate = nn.functional.silu(gate_proj.forward(input));
        return down_proj.forward(gate.mul(up_proj.forward(input))).MoveToOuterDisposeScope();
    }
}
