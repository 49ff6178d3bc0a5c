using TorchSharp.Modules;

namespace LongCat.ML.Training.Optimization;

/// <summary>Parameters that share settings of the optimizer.</summary>
/// <param name="Parameters">Names and float32 CPU parameters, in a fixed order.</param>
/// <param name="RateFactor">What the learning rate is multiplied by.</param>
/// <param name="WeightDecay">Decoupled weight decay, 0 for norms, biases, embeddings and n-gram tables.</param>
public sealed record ParameterGroup(IReadOnlyList<(string Name, Parameter Parameter)> Parameters, double RateFactor, double WeightDecay)
{
    /// <summary>Whether the parameters are tables [rows, width] whose gradients are given row by row (<see cref="SparseGradient"/>): other rows, and their moments, stay as they are.</summary>
    public bool Sparse { get; init; }
}
