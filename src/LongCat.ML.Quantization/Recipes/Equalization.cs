namespace LongCat.ML.Quantization;

/// <summary>
/// FPTQ's logarithmic activation equalization (arXiv 2308.15987, section 3.2): channel j of a layer's input is divided by s_j = max|X_j| / log2(2 + max|X_j|), the
/// columns of every matrix that reads it are multiplied by s_j, and the gain of the norm that makes it takes the division up. The float model is unchanged
/// up to the rounding of one multiplication and one division per weight (relative 2^-24 each). Immutable.
/// </summary>
/// <remarks>
/// A site is folded when a norm makes it (<see cref="LinearSite.Norm"/>), calibration reached it, and the options ask for it: with
/// <see cref="ActivationScheme.PerLayer"/> FPTQ's rule, largest input between v0 and v1; with the other schemes every such site.
/// A norm or a matrix that belongs to two sites with different factors is left alone, with everything else of those sites.
/// </remarks>
public sealed class Equalization
{
    private const float LeastFactor = 1e-5f;

    private readonly Dictionary<string, float[]> _columns = [];
    private readonly Dictionary<string, float[]> _norms = [];
    private readonly Dictionary<string, float[]> _sites = [];

    private Equalization(IStatisticsSource statistics)
    {
        Statistics = statistics;
    }

    /// <summary>The statistics of the inputs as the folded model has them: what <see cref="MatrixQuantizer"/> is to be given.</summary>
    public IStatisticsSource Statistics { get; private set; }

    /// <summary>Names of the folded sites, experts' inputs included, in ordinal order.</summary>
    public IReadOnlyList<string> Sites => [.. _sites.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Plans the equalization of every site that a norm makes.</summary>
    /// <param name="resolved">Resolved options.</param>
    /// <param name="sites">The model's sites.</param>
    /// <param name="statistics">Statistics of a calibration run.</param>
    /// <returns>The plan; empty when the options do not equalize.</returns>
    public static Equalization Plan(QuantizationOptions resolved, IReadOnlyList<LinearSite> sites, IStatisticsSource statistics)
    {
        ArgumentNullException.ThrowIfNull(resolved);
        ArgumentNullException.ThrowIfNull(sites);
        ArgumentNullException.ThrowIfNull(statistics);
        Equalization plan = new(statistics);
        if (resolved.Resolve().Equalize != true)
        {
            return plan;
        }

        // What two sites share cannot follow both.
        HashSet<string> shared = [.. sites.SelectMany(site => Tensors(site, sites).Distinct()).GroupBy(name => name).Where(group => group.Count() > 1).Select(group => group.Key)];
        foreach (LinearSite site in sites)
        {
            if (site.Norm is null || Tensors(site, sites).Any(shared.Contains)
                || !statistics.TryGet(site.Name, false, out SiteStatistics? seen) || seen.Rows == 0 || !IsAsked(resolved, seen.MaxAbs))
            {
                continue;
            }

            float[] factors = Factors(seen.AbsMax);
            plan._norms[site.Norm] = factors;
            foreach (LinearSite reader in Readers(site, sites))
            {
                plan._sites[reader.Name] = factors;
                foreach (string matrix in reader.Weights.Concat(reader.FloatReaders))
                {
                    plan._columns[matrix] = factors;
                }
            }
        }

        plan.Statistics = plan._sites.Count == 0 ? statistics : new EqualizedStatistics(statistics, plan._sites);
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

    /// <summary>s of every channel. Channels that calibration never used keep s = 1; tiny ones are not blown up without end.</summary>
    internal static float[] Factors(float[] largest) =>
        [.. largest.Select(max => max > 0 ? Math.Max(max / MathF.Log2(2 + max), LeastFactor) : 1)];

    private static bool IsAsked(QuantizationOptions resolved, float largest) =>
        resolved.Activations != ActivationScheme.PerLayer || (largest > resolved.StaticThreshold && largest < resolved.DynamicThreshold);

    private static IEnumerable<LinearSite> Readers(LinearSite site, IReadOnlyList<LinearSite> sites) => sites.Where(other => other.Parent == site.Name).Prepend(site);

    private static IEnumerable<string> Tensors(LinearSite site, IReadOnlyList<LinearSite> sites)
    {
        // An expert's matrices belong to the mixture's site; its own site is no second owner.
        if (site.Parent is not null)
        {
            return [];
        }

        IEnumerable<string> matrices = Readers(site, sites).SelectMany(reader => reader.Weights.Concat(reader.FloatReaders));
        return site.Norm is null ? matrices : matrices.Append(site.Norm);
    }
}
