namespace LongCat.ML.Quantization;

/// <summary>
/// Which statistics stand for a site: its own; for an expert that fewer rows reached than it has channels, its own filled up with those of the whole mixture's
/// input; for one that none reached, the mixture's alone. The result carries the name of the site it is of, so a report can tell.
/// </summary>
internal static class StatisticsLookup
{
    public static SiteStatistics? Find(IStatisticsSource? source, LinearSite site, bool gram)
    {
        if (source is null)
        {
            return null;
        }

        SiteStatistics? own = source.TryGet(site.Name, gram, out SiteStatistics? found) && found.Rows > 0 ? found : null;
        if (site.Parent is not string parent || own?.Rows >= site.Channels || !source.TryGet(parent, gram, out SiteStatistics? whole) || whole.Rows == 0
            || whole.SumOfSquares.Length != site.Channels)
        {
            return own;
        }

        return own is null ? whole : Fill(own, whole, (site.Channels - own.Rows) / (double)whole.Rows);
    }

    /// <summary>own + share · whole: as if so many rows of the mixture's input had come to the expert as well.</summary>
    private static SiteStatistics Fill(SiteStatistics own, SiteStatistics whole, double share)
    {
        double[] squares = new double[own.SumOfSquares.Length];
        for (int j = 0; j < squares.Length; j++)
        {
            squares[j] = own.SumOfSquares[j] + (share * whole.SumOfSquares[j]);
        }

        double[]? gram = null;
        if (own.Gram is not null && whole.Gram is not null)
        {
            gram = new double[own.Gram.Length];
            for (long i = 0; i < gram.LongLength; i++)
            {
                gram[i] = own.Gram[i] + (share * whole.Gram[i]);
            }
        }

        return new SiteStatistics
        {
            Site = own.Site,
            Rows = own.Rows,
            MaxAbs = own.MaxAbs,
            AbsMax = own.AbsMax,
            SumOfSquares = squares,
            Gram = gram,
            UnequalizedMaxAbs = own.UnequalizedMaxAbs,
            Filled = true,
        };
    }
}
