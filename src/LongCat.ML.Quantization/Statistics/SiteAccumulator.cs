namespace LongCat.ML.Quantization;

/// <summary>Adds up the statistics of one site while its rows stream by. Not thread-safe.</summary>
public sealed class SiteAccumulator
{
    private readonly LinearSite _site;
    private readonly float[] _absMax;
    private readonly double[] _sumOfSquares;
    private readonly double[]? _gram;
    private long _rows;

    /// <summary>Creates an empty accumulator.</summary>
    /// <param name="site">The site.</param>
    /// <param name="gram">Whether to add up the Gram matrix XᵀX, 8·K² bytes.</param>
    public SiteAccumulator(LinearSite site, bool gram)
    {
        ArgumentNullException.ThrowIfNull(site);
        _site = site;
        _absMax = new float[site.Channels];
        _sumOfSquares = new double[site.Channels];
        _gram = gram ? new double[checked(site.Channels * site.Channels)] : null;
    }

    /// <summary>Adds rows.</summary>
    /// <param name="rows">[r, K], row-major.</param>
    /// <exception cref="ArgumentException">The length is not a multiple of K.</exception>
    public void Add(ReadOnlySpan<float> rows)
    {
        int channels = _site.Channels;
        if (rows.Length % channels != 0)
        {
            throw new ArgumentException($"{rows.Length} values are no rows of {channels}", nameof(rows));
        }

        for (; rows.Length > 0; rows = rows[channels..])
        {
            ReadOnlySpan<float> row = rows[..channels];
            for (int k = 0; k < channels; k++)
            {
                _absMax[k] = Math.Max(_absMax[k], Math.Abs(row[k]));
                _sumOfSquares[k] += (double)row[k] * row[k];
                for (int j = 0; _gram is not null && j < channels; j++)
                {
                    _gram[(k * channels) + j] += (double)row[k] * row[j];
                }
            }

            _rows++;
        }
    }

    /// <summary>What was added so far; the accumulator must not be used afterwards.</summary>
    /// <returns>The statistics.</returns>
    public SiteStatistics Complete() => new()
    {
        Site = _site,
        Rows = _rows,
        MaxAbs = _absMax.Length == 0 ? 0 : _absMax.Max(),
        AbsMax = _absMax,
        SumOfSquares = _sumOfSquares,
        Gram = _gram,
    };
}
