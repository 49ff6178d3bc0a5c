namespace LongCat.ML.Modules;

/// <summary>The gradient of the rows of an n-gram table that a step read.</summary>
/// <param name="Table">The table.</param>
/// <param name="Rows">The rows that were read, ascending.</param>
/// <param name="Gradient">[rows, width] row-major, summed over all passes of the step.</param>
public sealed record TableGradient(AdapterParameter Table, long[] Rows, float[] Gradient);
