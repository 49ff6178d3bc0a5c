namespace LongCat.ML.Quantization;

/// <summary>Quantizes the matrices of a model one after another. Thread-safe; a matrix is worked on by all cores.</summary>
public sealed class MatrixQuantizer
{
    // 8 bits gain little from clipping: the range is searched down to 0.80 of the largest weight only.
    private const int Int8LastPercent = 80;

    private readonly QuantizationOptions _options;
    private readonly IStatisticsSource? _statistics;
    private readonly SiteFactors? _factors;

    /// <summary>Creates a quantizer.</summary>
    /// <param name="resolved">What is quantized and how; resolved here if it is not yet.</param>
    /// <param name="statistics">Statistics of a calibration run; null without.</param>
    /// <exception cref="ArgumentException">An option has a value that is not allowed.</exception>
    /// <exception cref="QuantizationException">The recipe needs statistics and there are none.</exception>
    public MatrixQuantizer(QuantizationOptions resolved, IStatisticsSource? statistics)
    {
        ArgumentNullException.ThrowIfNull(resolved);
        _options = resolved.Resolve();
        _statistics = statistics;
        _factors = statistics is null ? null : new SiteFactors(statistics);
        if (statistics is null && _options.NeedsStatistics)
        {
            throw new QuantizationException($"recipe {_options.Recipe}", "needs statistics of a calibration run and there are none; calibrate, on text or on random tokens, or choose RoundToNearest");
        }
    }

    /// <summary>Threads per matrix; -1: all cores. The result does not depend on it.</summary>
    internal int Threads { get; init; } = -1;

    /// <summary>The scale of a site's 8-bit rows, decided before any of its matrices is quantized: graphs say it.</summary>
    /// <param name="site">The site.</param>
    /// <returns>The static scale, or 0 where each row has its own; experts' rows always do.</returns>
    public float ActivationScale(LinearSite site)
    {
        ArgumentNullException.ThrowIfNull(site);
        return ActivationPlan.Choose(_options, site, StatisticsLookup.Find(_statistics, site, gram: false)).Scale;
    }

    /// <summary>Quantizes a matrix to 4 bits.</summary>
    /// <param name="name">The matrix, as the checkpoint names it.</param>
    /// <param name="weights">[N, K], row-major; not changed.</param>
    /// <param name="n">N, outputs.</param>
    /// <param name="k">K, inputs.</param>
    /// <param name="site">The value that the matrix reads.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The quantized matrix with its report.</returns>
    /// <exception cref="ArgumentException">The lengths do not fit each other.</exception>
    /// <exception cref="QuantizationException">A weight is not finite, statistics do not fit, or the kernel's sums could overflow.</exception>
    public QuantizedMatrix Quantize(string name, float[] weights, int n, int k, LinearSite site, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(site);
        Check(name, weights, n, k, 0, Threads, cancellationToken);
        if (site.Channels != k)
        {
            throw new QuantizationException(name, $"has {k} inputs, but its site {site.Name} has {site.Channels} channels");
        }

        SiteStatistics? statistics = StatisticsLookup.Find(_statistics, site, gram: false);
        if (statistics is not null && statistics.SumOfSquares.Length != k)
        {
            throw new QuantizationException(name, $"has {k} inputs, but the statistics of {statistics.Site.Name} have {statistics.SumOfSquares.Length}; calibrate this model again");
        }

        MatrixProblem problem = new()
        {
            Name = name,
            Site = site,
            Weights = weights,
            OutFeatures = n,
            InFeatures = k,
            Options = _options,
            Statistics = statistics,
            Importance = _options.Clipping == WeightClipping.None ? null : ImportanceOf(statistics),
            Threads = Threads,
        };
        IGroupSteps steps = _options.Clipping switch
        {
            WeightClipping.None => new MinMaxSteps(),
            WeightClipping.Grid => new GridSteps(),
            _ => new LearnedSteps(),
        };
        WeightGrid grid = WeightGridSearch.Find(problem, steps, cancellationToken);
        sbyte[] levels = new sbyte[weights.Length];

        // Without a calibration row there is no correlation to compensate with: the nearest levels then.
        IWeightRounding rounding = _options.Compensate == true && statistics is not null
            ? new CompensatedRounding(_factors!.Get(site, Threads, cancellationToken), steps)
            : new NearestRounding();
        double? outputError = rounding.Round(problem, grid, levels, cancellationToken);
        long bound = W4A8Packing.CheckBound(name, k, _options.GroupSize!.Value, grid.GroupScales, n);
        ActivationPlan activations = ActivationPlan.Choose(_options, site, statistics);
        return new QuantizedMatrix(n, k, _options.GroupSize.Value, grid.GroupScales is null ? 0 : grid.GroupScales.AsSpan().IndexOfAnyExceptInRange<short>(-128, 127) < 0 ? 1 : 2,
            levels, grid.GroupScales, grid.Scales, activations.Scale, QuantizationError.Report(problem, grid, levels, rounding.Scheme, activations, bound, outputError, cancellationToken));
    }

    /// <summary>Quantizes a matrix, or some rows of one, to 8 bits with a scale per row.</summary>
    /// <param name="name">The matrix, as the checkpoint names it.</param>
    /// <param name="weights">[N, K], row-major; not changed.</param>
    /// <param name="n">N, rows.</param>
    /// <param name="k">K, the width of a row.</param>
    /// <param name="firstRow">Index of the first row in the whole matrix, for messages.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The quantized rows.</returns>
    /// <exception cref="ArgumentException">The lengths do not fit each other.</exception>
    /// <exception cref="QuantizationException">A weight is not finite.</exception>
    public QuantizedInt8Matrix QuantizeInt8(string name, float[] weights, int n, int k, long firstRow = 0, CancellationToken cancellationToken = default)
    {
        Check(name, weights, n, k, firstRow, Threads, cancellationToken);
        sbyte[] levels = new sbyte[weights.Length];
        float[] scales = new float[n], ones = new float[StepMath.Padded(k)];
        ones.AsSpan(0, k).Fill(1);
        int lastPercent = _options.Clipping == WeightClipping.None ? 100 : Int8LastPercent;
        Rows.For(n, Threads, () => new float[StepMath.Padded(k)], (row, scratch) =>
        {
            ReadOnlySpan<float> values = weights.AsSpan(checked((int)((long)row * k)), k);
            float largest = StepMath.Largest(values);
            if (largest > 0)
            {
                int exponent = Math.ILogB(largest);
                WantedSteps.Normalize(values, exponent, scratch);
                scales[row] = (float)Math.ScaleB(GridSteps.Best(scratch, ones, LevelRange.EightBits, lastPercent), exponent);
                StepMath.Round(values, scales[row], LevelRange.EightBits, levels.AsSpan(checked((int)((long)row * k)), k));
            }
        }, cancellationToken);
        return new QuantizedInt8Matrix(n, k, levels, scales);
    }

    private static float[]? ImportanceOf(SiteStatistics? statistics)
    {
        double mean = statistics is null ? 0 : statistics.SumOfSquares.Average();
        return mean > 0 && double.IsFinite(mean) ? [.. statistics!.SumOfSquares.Select(sum => (float)(sum / mean))] : null;
    }

    private static void Check(string name, float[] weights, int n, int k, long firstRow, int threads, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(weights);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(n);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(k);
        QuantizedMatrix.Length(nameof(weights), weights.Length, (long)n * k);
        bool[] bad = new bool[n];
        Rows.For(n, threads, () => 0, (row, _) => bad[row] = !float.IsFinite(StepMath.Largest(weights.AsSpan(checked((int)((long)row * k)), k))), cancellationToken);
        int first = bad.AsSpan().IndexOf(true);
        if (first >= 0)
        {
            ReadOnlySpan<float> row = weights.AsSpan(checked((int)((long)first * k)), k);
            int column = 0;
            while (float.IsFinite(row[column]))
            {
                column++;
            }

            throw new QuantizationException($"tensor {name}", FormattableString.Invariant(
                $"the weight at row {firstRow + first}, column {column} is {row[column]}, expected a finite number; the checkpoint is damaged or its training diverged"));
        }
    }
}
