using System.Diagnostics.CodeAnalysis;

namespace LongCat.ML.Quantization;

/// <summary>The statistics of a model whose inputs were divided by factors per channel. As safe to share as what it reads.</summary>
internal sealed class EqualizedStatistics(IStatisticsSource source, IReadOnlyDictionary<string, float[]> factors) : IStatisticsSource
{
    public bool DataFree => source.DataFree;

    public long Tokens => source.Tokens;

    public bool TryGet(string site, bool gram, [NotNullWhen(true)] out SiteStatistics? statistics)
    {
        if (!source.TryGet(site, gram, out statistics))
        {
            return false;
        }

        if (factors.TryGetValue(site, out float[]? divisors))
        {
            statistics = Divide(statistics, divisors);
        }

        return true;
    }

    private static SiteStatistics Divide(SiteStatistics raw, float[] divisors)
    {
        int width = divisors.Length;
        float[] largest = new float[width];
        double[] squares = new double[width];
        for (int j = 0; j < width; j++)
        {
            largest[j] = raw.AbsMax[j] / divisors[j];
            squares[j] = raw.SumOfSquares[j] / ((double)divisors[j] * divisors[j]);
        }

        double[]? gram = null;
        if (raw.Gram is not null)
        {
            gram = new double[raw.Gram.Length];
            Parallel.For(0, width, i =>
            {
                for (int j = 0; j < width; j++)
                {
                    gram[((long)i * width) + j] = raw.Gram[((long)i * width) + j] / ((double)divisors[i] * divisors[j]);
                }
            });
        }

        return new SiteStatistics
        {
            Site = raw.Site,
            Rows = raw.Rows,
            MaxAbs = largest.Max(),
            AbsMax = largest,
            SumOfSquares = squares,
            Gram = gram,
            UnequalizedMaxAbs = raw.MaxAbs,
        };
    }
}
