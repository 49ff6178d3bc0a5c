namespace LongCat.ML.Quantization;

/// <summary>
/// The factors of the sites' Gram matrices, made when a matrix first needs one and kept for the other matrices of the site (query, key and value; gate and up),
/// the latest ones, up to a number of bytes. Thread-safe; matrices that want the same factor at once wait for the first.
/// </summary>
internal sealed class SiteFactors(IStatisticsSource statistics, long bytes = 1L << 30)
{
    /// <summary>λ, as a share of the mean of the diagonal (arXiv 2210.17323).</summary>
    private const double Damping = 0.01;

    private readonly Lock _lock = new();
    private readonly LinkedList<(string Site, Lazy<Factor> Factor)> _latest = [];

    /// <summary>The factor of XᵀX + λI, and λ.</summary>
    public sealed record Factor(UpperFactor Upper, double Damping);

    /// <summary>Gets or makes a site's factor.</summary>
    /// <param name="site">The site.</param>
    /// <param name="threads">Threads, -1: all cores.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The factor.</returns>
    /// <exception cref="QuantizationException">The statistics lack the Gram matrix, or it is unusable.</exception>
    public Factor Get(LinearSite site, int threads, CancellationToken cancellationToken)
    {
        Lazy<Factor> factor;
        lock (_lock)
        {
            LinkedListNode<(string Site, Lazy<Factor> Factor)>? known = _latest.First;
            while (known is not null && known.Value.Site != site.Name)
            {
                known = known.Next;
            }

            if (known is null)
            {
                known = new((site.Name, new Lazy<Factor>(() => Make(site, threads, cancellationToken))));
            }
            else
            {
                _latest.Remove(known);
            }

            _latest.AddFirst(known);
            factor = known.Value.Factor;
        }

        try
        {
            return factor.Value;
        }
        catch
        {
            // A cancelled or failed factor is not kept.
            Forget(site.Name, factor);
            throw;
        }
        finally
        {
            Shrink();
        }
    }

    private void Forget(string site, Lazy<Factor> factor)
    {
        lock (_lock)
        {
            _latest.Remove((site, factor));
        }
    }

    private void Shrink()
    {
        lock (_lock)
        {
            while (_latest.Count > 1 && _latest.Where(entry => entry.Factor.IsValueCreated).Sum(entry => entry.Factor.Value.Upper.Bytes) > bytes)
            {
                _latest.RemoveLast();
            }
        }
    }

    private Factor Make(LinearSite site, int threads, CancellationToken cancellationToken)
    {
        SiteStatistics found = StatisticsLookup.Find(statistics, site, gram: true)
            ?? throw new QuantizationException($"site {site.Name}", "the statistics have no Gram matrix, which compensation needs; calibrate with Gram matrices, or switch compensation off");
        int size = site.Channels;
        if (found.Gram is null || found.Gram.LongLength != (long)size * size)
        {
            throw new QuantizationException($"site {site.Name}", $"the Gram matrix has {found.Gram?.LongLength ?? 0} elements, expected {size} x {size}; calibrate this model again");
        }

        double mean = 0;
        for (int j = 0; j < size; j++)
        {
            mean += found.Gram[((long)j * size) + j] / size;
        }

        if (!double.IsFinite(mean))
        {
            throw new QuantizationException($"site {site.Name}", "the Gram matrix is not finite; calibrate again on text that the float model does not overflow on");
        }

        // Channels that were always zero have a zero row in H: with λ alone on the diagonal they neither give nor take compensation. A Gram matrix is positive
        // semidefinite, so λ makes it definite; rounding can only matter when channels differ by many orders, and then more of it helps.
        double damping = mean > 0 ? Damping * mean : 1;

        // Fewer rows than channels say nothing about most directions: rounding errors would be moved there for free, and other text uses them. The missing rows
        // count as rows of independent channels with the second moments seen.
        double shrinkage = found.Filled || found.Rows >= size ? 0 : (size - found.Rows) / (double)found.Rows;
        for (int attempt = 0; attempt < 4; attempt++, damping *= 10)
        {
            double[] matrix = (double[])found.Gram.Clone();
            for (int j = 0; j < size; j++)
            {
                matrix[((long)j * size) + j] += damping + (shrinkage * found.Gram[((long)j * size) + j]);
            }

            if (UpperFactor.TryFactorize(matrix, size, threads, cancellationToken) is UpperFactor upper)
            {
                return new Factor(upper, damping);
            }
        }

        throw new QuantizationException($"site {site.Name}", "the Gram matrix is not positive semidefinite, so it is no sum of products of rows; calibrate this model again");
    }
}
