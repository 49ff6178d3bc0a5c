using System.Diagnostics.CodeAnalysis;

namespace LongCat.ML.Quantization;

/// <summary>Statistics of a calibration run. Implementations are safe to read from several threads.</summary>
public interface IStatisticsSource
{
    /// <summary>Whether the inputs were random tokens instead of text.</summary>
    bool DataFree { get; }

    /// <summary>Tokens that the run read.</summary>
    long Tokens { get; }

    /// <summary>The statistics of one site.</summary>
    /// <param name="site">Name of the site.</param>
    /// <param name="gram">Whether the Gram matrix is wanted too.</param>
    /// <param name="statistics">The statistics, when the run has them.</param>
    /// <returns>Whether the run saw the site (and, when asked for, has its Gram matrix).</returns>
    bool TryGet(string site, bool gram, [NotNullWhen(true)] out SiteStatistics? statistics);
}
