namespace LongCat.ML.Checkpoints;

/// <summary>σ of AFA-LoRA (arXiv 2512.22455): what A's result passes through while training anneals.</summary>
public enum AfaActivation
{
    /// <summary>max(0, z); blended with the identity it is a leaky ReLU of slope 1 - β.</summary>
    Relu,

    /// <summary>z · sigmoid(z).</summary>
    Silu,

    /// <summary>z · Φ(z), Φ the normal distribution.</summary>
    Gelu,
}
