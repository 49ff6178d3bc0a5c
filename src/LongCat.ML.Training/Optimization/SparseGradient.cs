namespace LongCat.ML.Training.Optimization;

/// <summary>The gradient of a few rows of a table.</summary>
/// <param name="Name">The parameter's name; it belongs to a group that is <see cref="ParameterGroup.Sparse"/>.</param>
/// <param name="Rows">The rows, ascending and distinct.</param>
/// <param name="Values">[rows, width], row-major.</param>
public sealed record SparseGradient(string Name, long[] Rows, float[] Values);
