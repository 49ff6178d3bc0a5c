using System.Diagnostics.CodeAnalysis;

namespace LongCat.ML.Quantization;

/// <summary>Statistics of a calibration run in memory. Immutable, safe to share between threads.</summary>
public sealed class StatisticsTable : IStatisticsSource
{
    private readonly Dictionary<string, SiteStatistics> _sites;

    /// <summary>Puts the statistics of sites together.</summary>
    /// <param name="sites">One for each site.</param>
    /// <param name="tokens">Tokens that the run read.</param>
    /// <param name="dataFree">Whether the inputs were random tokens instead of text.</param>
    /// <exception cref="ArgumentException">Two are of the same site.</exception>
    public StatisticsTable(IEnumerable<SiteStatistics> sites, long tokens, bool dataFree = false)
    {
        ArgumentNullException.ThrowIfNull(sites);
        _sites = [];
        foreach (SiteStatistics site in sites)
        {
            if (!_sites.TryAdd(site.Site.Name, site))
            {
                throw new ArgumentException($"two statistics of site {site.Site.Name}; merge them first", nameof(sites));
            }
        }

        Tokens = tokens;
        DataFree = dataFree;
    }

    /// <inheritdoc/>
    public bool DataFree { get; }

    /// <inheritdoc/>
    public long Tokens { get; }

    /// <summary>The sites, in ordinal order.</summary>
    public IReadOnlyList<string> Sites => [.. _sites.Keys.Order(StringComparer.Ordinal)];

    /// <inheritdoc/>
    public bool TryGet(string site, bool gram, [NotNullWhen(true)] out SiteStatistics? statistics) =>
        _sites.TryGetValue(site, out statistics) && (!gram || statistics.Gram is not null);
}
