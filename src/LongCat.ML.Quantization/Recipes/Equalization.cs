namespace LongCat.ML.Quantization;

/// <summary>Which columns of which matrices are multiplied, and which norms divided in exchange: the float model is unchanged. Immutable.</summary>
public sealed class Equalization
{
    private readonly Dictionary<string, float[]> _columns = [];
    private readonly Dictionary<string, float[]> _norms = [];

    private Equalization()
    {
    }

    /// <summary>Plans the equalization of every site that a norm makes.</summary>
    /// <param name="resolved">Resolved options.</param>
    /// <param name="sites">The model's sites.</param>
    /// <param name="statistics">Statistics of a calibration run.</param>
    /// <returns>The plan; empty when the options don't equalize.</returns>
    public static Equalization Plan(QuantizationOptions resolved, IReadOnlyList<LinearSite> sites, IStatisticsSource statistics)
    {
        Equalization plan = new();
        foreach (LinearSite site in resolved.Equalize == true ? sites : [])
        {
            if (site.Norm is string norm && statistics.TryGet(site.Name, false, out SiteStatistics? seen) && seen.Rows > 0)
            {
                float[] factors = [.. seen.AbsMax.Select(max => max > 1 ? max / MathF.Log2(2 + max) : 1)];
                plan._norms[norm] = factors;
                foreach (string reader in site.Weights.Concat(site.FloatReaders))
                {
                    plan._columns[reader] = factors;
                }
            }
        }

        return plan;
    }

    /// <summary>What column k of a matrix is multiplied with.</summary>
    /// <param name="tensor">The matrix, as the checkpoint names it.</param>
    /// <returns>[K], or null when the matrix stays as it is.</returns>
    public float[]? ColumnFactors(string tensor) => _columns.GetValueOrDefault(tensor);

    /// <summary>What the gain of a norm is divided by.</summary>
    /// <param name="normTensor">The norm's weight, as the checkpoint names it.</param>
    /// <returns>[K], or null when the norm stays as it is.</returns>
    public float[]? NormDivisors(string normTensor) => _norms.GetValueOrDefault(normTensor);
}
