namespace LongCat.ML.Quantization;

/// <summary>What calibration saw at one site. Immutable by convention: the arrays are not copied.</summary>
public sealed class SiteStatistics
{
    /// <summary>The site.</summary>
    public required LinearSite Site { get; init; }

    /// <summary>Rows (tokens) that were seen.</summary>
    public required long Rows { get; init; }

    /// <summary>The largest magnitude of any input.</summary>
    public required float MaxAbs { get; init; }

    /// <summary>[K]: the largest magnitude of each input channel.</summary>
    public required float[] AbsMax { get; init; }

    /// <summary>[K]: Σ x² of each input channel over the rows.</summary>
    public required double[] SumOfSquares { get; init; }

    /// <summary>[K·K] XᵀX over the rows, both triangles; null where it was not collected.</summary>
    public double[]? Gram { get; init; }

    /// <summary>Where the input's channels were equalized (<see cref="Equalization"/>): the largest magnitude before; null elsewhere.</summary>
    public float? UnequalizedMaxAbs { get; init; }

    /// <summary>Whether rows of the whole mixture's input were added, because too few reached the expert itself.</summary>
    internal bool Filled { get; init; }

    /// <summary>Puts statistics of the same site together, such as those of several passes or workers.</summary>
    /// <param name="parts">One or more; the order of the sums is theirs.</param>
    /// <returns>The statistics of all rows. A Gram matrix only where all parts with rows have one.</returns>
    /// <exception cref="ArgumentException">There is no part, or their sites differ.</exception>
    public static SiteStatistics Merge(IReadOnlyList<SiteStatistics> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (parts.Count == 0)
        {
            throw new ArgumentException("there are no statistics to merge", nameof(parts));
        }

        LinearSite site = parts[0].Site;
        float[] largest = new float[site.Channels];
        double[] squares = new double[site.Channels];
        bool complete = parts.All(part => part.Gram is not null || part.Rows == 0) && parts.Any(part => part.Gram is not null);
        double[]? gram = complete ? new double[(long)site.Channels * site.Channels] : null;
        foreach (SiteStatistics part in parts)
        {
            if (part.Site.Name != site.Name || part.SumOfSquares.Length != site.Channels)
            {
                throw new ArgumentException($"statistics of {part.Site.Name} [{part.SumOfSquares.Length}] do not go with those of {site.Name} [{site.Channels}]", nameof(parts));
            }

            for (int j = 0; j < largest.Length; j++)
            {
                largest[j] = Math.Max(largest[j], part.AbsMax[j]);
                squares[j] += part.SumOfSquares[j];
            }

            for (long i = 0; i < (gram is null || part.Gram is null ? 0 : gram.LongLength); i++)
            {
                gram![i] += part.Gram![i];
            }
        }

        return new SiteStatistics
        {
            Site = site,
            Rows = parts.Sum(part => part.Rows),
            MaxAbs = largest.Max(),
            AbsMax = largest,
            SumOfSquares = squares,
            Gram = gram,
        };
    }
}
