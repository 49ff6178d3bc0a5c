namespace LongCat.ML.Quantization;

/// <summary>A value of the model that linear layers read: where calibration looks, and what shares the input's statistics.</summary>
public sealed record LinearSite
{
    /// <summary>Name of the value in the probe graph.</summary>
    public required string Name { get; init; }

    /// <summary>Width of a row: the layers' input features.</summary>
    public required int Channels { get; init; }

    /// <summary>The matrices [out features, <see cref="Channels"/>] that read the value, as the checkpoint names them.</summary>
    public IReadOnlyList<string> Weights { get; init; } = [];

    /// <summary>The weight of the RMS norm that makes the value, when one does and nothing else reads it: its gain can be divided. Null otherwise.</summary>
    public string? Norm { get; init; }

    /// <summary>Matrices that read the value in float (a mixture's router): multiplied along when the norm is divided.</summary>
    public IReadOnlyList<string> FloatReaders { get; init; } = [];

    /// <summary>An expert's input: the site of the whole mixture's input, whose statistics stand in when no calibration row reached the expert. Null otherwise.</summary>
    public string? Parent { get; init; }

    /// <summary>Index of the expert, where the site is one expert's.</summary>
    public int? Expert { get; init; }
}
