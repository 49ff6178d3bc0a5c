namespace LongCat.ML.Quantization;

/// <summary>Chooses the levels once the steps are known.</summary>
internal interface IWeightRounding
{
    /// <summary>What the report calls it.</summary>
    string Scheme { get; }

    /// <summary>Fills <paramref name="levels"/>; may change the grid's group scales (1..<see cref="MatrixProblem.LargestGroupScale"/>) before it rounds a group.</summary>
    /// <returns>‖error‖ / ‖exact‖ of the layer's output over calibration, where the rounding knows it; otherwise null.</returns>
    double? Round(MatrixProblem problem, WeightGrid grid, sbyte[] levels, CancellationToken cancellationToken);
}
