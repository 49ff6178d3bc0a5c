using LongCat.ML.Checkpoints;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The draft head (multi-token prediction, 2509.01322): from the main model's normed state at t and the plain word vector of token t+1 it predicts token t+2
/// through the shared output matrix.
/// </summary>
/// <remarks>
/// State: <c>norm.weight</c> and <c>layers.0.*</c>. The published tensor <c>embed_tokens.weight</c> repeats the main model's embedding, which is read in its place:
/// loading accepts it, saving writes the copy.
/// </remarks>
public sealed class MultiTokenPrediction : nn.Module
{
    private readonly ModuleList<MultiTokenLayer> layers;
    private readonly RmsNorm norm;

    /// <summary>Creates the head.</summary>
    /// <param name="config">The model's settings.</param>
    public MultiTokenPrediction(LongcatFlashConfig config)
        : base(nameof(MultiTokenPrediction))
    {
        layers = new ModuleList<MultiTokenLayer>(new MultiTokenLayer(config));
        norm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        RegisterComponents();
    }

    /// <summary>Applies the head.</summary>
    /// <param name="nextWords">[B·S, hidden]: the word vector of the token after each position.</param>
    /// <param name="hidden">[B·S, hidden]: the main model's output after its final norm.</param>
    /// <param name="batch">The geometry of the rows.</param>
    /// <param name="probe">Sees <c>mtp.eh_proj.output</c>, <c>mtp.layer.output</c>, <c>mtp.norm.output</c>.</param>
    /// <returns>[B·S, hidden] after the head's own norm, owned by the caller's dispose scope.</returns>
    internal Tensor Forward(Tensor nextWords, Tensor hidden, SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        var output = layers[0].Forward(nextWords, hidden, batch, probe);
        probe?.Invoke("mtp.layer.output", output);
        var normed = norm.forward(output);
        probe?.Invoke("mtp.norm.output", normed);
        return normed.MoveToOuterDisposeScope();
    }
}
