using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// What all adapters of a model read in a forward pass: β of AFA-LoRA, set once per step and never within a pass, and which dropout to apply. Both are the same when a
/// layer is computed again in the backward pass.
/// </summary>
internal sealed class AdapterClock(ulong seed)
{
    /// <summary>σ; null without AFA.</summary>
    public AfaActivation? Activation { get; init; }

    public double Beta { get; set; }

    public long Step { get; set; }

    public long TotalSteps { get; set; }

    /// <summary>Passes of the current step so far.</summary>
    public long Pass { get; private set; }

    /// <summary>Whether inputs are dropped: in passes that train.</summary>
    public bool DropsInputs { get; private set; }

    /// <summary>A forward pass of the whole model begins.</summary>
    public void Begin(bool training)
    {
        bool drops = training && is_grad_enabled();
        if (drops)
        {
            Pass++;
        }

        if (DropsInputs != drops)
        {
            DropsInputs = drops;
        }
    }

    /// <summary>A step begins.</summary>
    public void StepTo(long step, long totalSteps, double beta)
    {
        (Step, TotalSteps, Beta, Pass) = (step, totalSteps, beta, 0);
    }

    /// <summary>Goes back to an earlier pass of the step until the result is disposed.</summary>
    public IDisposable Again(long pass)
    {
        Return back = new(this, Pass, DropsInputs);
        (Pass, DropsInputs) = (pass, pass > 0);
        return back;
    }

    /// <summary>Drops inputs of an adapter; what is dropped follows from seed, step, pass and adapter alone.</summary>
    /// <param name="input">[.., in].</param>
    /// <param name="share">0 to below 1.</param>
    /// <param name="stream">The adapter's own number.</param>
    public Tensor Drop(Tensor input, double share, ulong stream)
    {
        if (share == 0 || !DropsInputs)
        {
            return input;
        }

        manual_seed((long)SeededValues.Mix(SeededValues.Mix(SeededValues.Mix(seed, (ulong)Step), (ulong)Pass), stream));
        return nn.functional.dropout(input, share, true);
    }

    /// <summary>φβ(z) = β · σ(z) + (1 - β) · z (AFA-LoRA, 2512.22455).</summary>
    /// <param name="z">[.., r].</param>
    public Tensor Activate(Tensor z)
    {
        double beta = Beta;
        return beta == 0 ? z : Activation switch
        {
            // The blend with a ReLU is a leaky ReLU: one operator, and nothing more is kept for the backward pass.
            AfaActivation.Relu => nn.functional.leaky_relu(z, 1 - beta),
            AfaActivation.Silu => z.mul(1 - beta).add(nn.functional.silu(z).mul(beta)),
            AfaActivation.Gelu => z.mul(1 - beta).add(nn.functional.gelu(z).mul(beta)),
            _ => z,
        };
    }

    private sealed class Return(AdapterClock clock, long pass, bool drops) : IDisposable
    {
        public void Dispose() => (clock.Pass, clock.DropsInputs) = (pass, drops);
    }
}
