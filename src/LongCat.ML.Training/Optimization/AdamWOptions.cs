namespace LongCat.ML.Training.Optimization;

/// <summary>Settings of <see cref="FusedAdamW"/>.</summary>
public sealed record AdamWOptions
{
    /// <summary>Decay of the first moment, 0..1.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment, 0..1.</summary>
    public double Beta2 { get; init; } = 0.95;

    /// <summary>Added to the root of the second moment; far below the gradients' own size (2509.01322 uses 1e-16).</summary>
    public double Epsilon { get; init; } = 1e-16;

    /// <summary>The gradients' joint norm is clipped to this; 0 switches clipping off.</summary>
    public double MaxGradientNorm { get; init; } = 1;
}
