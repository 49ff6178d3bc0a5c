namespace LongCat.ML.Quantization;

/// <summary>Which statistics stand for a site: its own, or, for an expert that no row reached, the whole mixture's.</summary>
internal static class StatisticsLookup
{
    public static SiteStatistics? Find(IStatisticsSource? source, LinearSite site, bool gram)
    {
        if (source is null)
        {
            return null;
        }

        if (source.TryGet(site.Name, gram, out SiteStatistics? own) && own.Rows > 0)
        {
            return own;
        }

        return site.Parent is string parent && source.TryGet(parent, gram, out SiteStatistics? whole) && whole.Rows > 0 ? whole : null;
    }
}
