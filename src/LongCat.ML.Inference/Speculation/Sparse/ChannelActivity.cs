namespace LongCat.ML.Inference;

/// <summary>How often the channels of one feed-forward network hardly fire.</summary>
/// <param name="Network">The network: the name of its node in the graph.</param>
/// <param name="Below">For each of <see cref="SparseCalibration.Thresholds"/> the share of (token, channel) pairs whose gate activation is smaller in magnitude, 0 to 1: what a threshold would skip.</param>
public sealed record ChannelActivity(string Network, IReadOnlyList<double> Below);
