namespace LongCat.ML.Onnx;

/// <summary>What the nodes must say about weights in 4 bits; every matrix of an export has the same groups.</summary>
/// <param name="GroupSize">Inputs that share a group scale; 0 for none.</param>
/// <param name="GroupScaleBytes">Bytes of a group scale: 1, 2, or 0 for none.</param>
internal readonly record struct W4A8Format(int GroupSize, int GroupScaleBytes);

/// <summary>A matrix [N, K] in 4 bits, in the graph.</summary>
/// <param name="Packed">uint8 [panels, panel bytes].</param>
/// <param name="Scale">float [N].</param>
/// <param name="OutFeatures">N.</param>
/// <param name="InFeatures">K.</param>
/// <param name="Format">Its groups.</param>
internal sealed record W4A8Weights(Value Packed, Value Scale, long OutFeatures, long InFeatures, W4A8Format Format);

/// <summary>Experts' matrices [E, N, K] in 4 bits, in the graph.</summary>
/// <param name="Packed">uint8 [E, panels, panel bytes].</param>
/// <param name="Scale">float [E, N].</param>
internal sealed record W4A8Stack(Value Packed, Value Scale);

/// <summary>A matrix [N, K] in 8 bits, in the graph.</summary>
/// <param name="Packed">uint8 [panels, ceil(K / 4), 64, 4].</param>
/// <param name="Scale">float [N].</param>
/// <param name="OutFeatures">N.</param>
/// <param name="InFeatures">K.</param>
internal sealed record Int8Weights(Value Packed, Value Scale, long OutFeatures, long InFeatures);
