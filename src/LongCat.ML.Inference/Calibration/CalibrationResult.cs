using System.Diagnostics.CodeAnalysis;
using LongCat.ML.Quantization;

namespace LongCat.ML.Inference.Calibration;

/// <summary>What a calibration saw at every site. Disposing deletes the temporary file that holds Gram matrices beyond the memory budget.</summary>
/// <remarks>Thread-safe.</remarks>
public sealed class CalibrationResult : IStatisticsSource, IDisposable
{
    private readonly Dictionary<string, SiteStatistics> _sites;
    private readonly GramFile? _file;
    private readonly Lock _gate = new();
    private SiteStatistics? _last;

    internal CalibrationResult(IEnumerable<SiteStatistics> sites, GramFile? file, long tokens, int passes, bool dataFree)
    {
        _sites = sites.ToDictionary(site => site.Site.Name, StringComparer.Ordinal);
        _file = file;
        Tokens = tokens;
        Passes = passes;
        DataFree = dataFree;
    }

    /// <inheritdoc/>
    public bool DataFree { get; }

    /// <inheritdoc/>
    public long Tokens { get; }

    /// <summary>How often the sequences ran: more than once where the Gram matrices did not fit the memory budget together.</summary>
    public int Passes { get; }

    /// <summary>The statistics of all sites without their Gram matrices, in the order in which the sites were given.</summary>
    public IReadOnlyCollection<SiteStatistics> Sites => _sites.Values;

    /// <inheritdoc/>
    /// <exception cref="ObjectDisposedException">A Gram matrix is asked for that was in the temporary file.</exception>
    public bool TryGet(string site, bool gram, [NotNullWhen(true)] out SiteStatistics? statistics)
    {
        if (!_sites.TryGetValue(site, out statistics) || !gram || statistics.Gram is not null)
        {
            return statistics is not null && (!gram || statistics.Gram is not null);
        }

        if (_file is null || !_file.Contains(site))
        {
            statistics = null;
            return false;
        }

        // Matrices that read the same site are quantized one after another.
        lock (_gate)
        {
            if (_last?.Site.Name != site)
            {
                _last = null;
                _last = WithGram(statistics, _file.Read(site, statistics.Site.Channels));
            }

            statistics = _last!;
            return true;
        }
    }

    /// <summary>Deletes the temporary file.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _last = null;
            _file?.Dispose();
        }
    }

    internal static SiteStatistics WithGram(SiteStatistics statistics, double[]? gram) => new()
    {
        Site = statistics.Site,
        Rows = statistics.Rows,
        MaxAbs = statistics.MaxAbs,
        AbsMax = statistics.AbsMax,
        SumOfSquares = statistics.SumOfSquares,
        Gram = gram,
        UnequalizedMaxAbs = statistics.UnequalizedMaxAbs,
    };
}
