using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The SwiGLU feed-forward block (2002.05202): <c>down(silu(gate(x)) · up(x))</c>.</summary>
/// <remarks>State: <c>gate_proj.weight</c>, <c>up_proj.weight</c> [inner, hidden], <c>down_proj.weight</c> [hidden, inner], or the family's own names; each with a bias
/// where asked for. The same block is a routed expert.</remarks>
public sealed class DenseMlp : nn.Module<Tensor, Tensor>
{
    // Not three fields: those would be registered under their own names.
    private readonly (Projection Gate, Projection Up, Projection Down) _projections;

    /// <summary>Creates the block.</summary>
    /// <param name="hidden">Width of input and output.</param>
    /// <param name="inner">Width between the projections.</param>
    /// <param name="bias">Whether the projections have biases.</param>
    /// <param name="gateName">The gate's name in the state.</param>
    /// <param name="upName">The name of the projection beside the gate.</param>
    /// <param name="downName">The name of the projection back to the hidden size.</param>
    public DenseMlp(long hidden, long inner, bool bias = false, string gateName = "gate_proj", string upName = "up_proj", string downName = "down_proj")
        : base(nameof(DenseMlp))
    {
        _projections = (new Projection(hidden, inner, bias), new Projection(hidden, inner, bias), new Projection(inner, hidden, bias));
        register_module(gateName, _projections.Gate);
        register_module(upName, _projections.Up);
        register_module(downName, _projections.Down);
    }

    /// <summary>Applies the block.</summary>
    /// <param name="input">[.., hidden], float32.</param>
    /// <returns>[.., hidden], owned by the caller's dispose scope.</returns>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var gate = nn.functional.silu(_projections.Gate.forward(input));
        return _projections.Down.forward(gate.mul(_projections.Up.forward(input))).MoveToOuterDisposeScope();
    }
}
