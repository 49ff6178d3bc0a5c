namespace LongCat.ML.Training.ZigZag;

/// <summary>What a calibration found for one attention.</summary>
/// <param name="Attention">The attention as caches count them (LongCat: 2 · layer + sub-layer; others: the layer).</param>
/// <param name="Module">Its path in the checkpoint.</param>
/// <param name="Alpha">The share of full attention in its output that the loss asks for: the lower, the less is lost with a streaming one.</param>
public sealed record AttentionAlpha(int Attention, string Module, double Alpha);
