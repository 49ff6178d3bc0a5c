using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// Collects what the recipes need to know about the rows that a site's matrices multiply: the largest magnitude and the sum of squares of every channel, and XᵀX.
/// Products are summed over blocks of 128 rows whatever the calls bring, in the order of the rows, so the result depends on the rows alone, not on
/// threads, on how the rows were cut into calls, or on the machine. Not thread-safe. Memory: with a Gram matrix 8·K² bytes, and 128 rows in double precision.
/// </summary>
public sealed class SiteAccumulator
{
    private const int BlockRows = 128;

    private readonly LinearSite _site;
    private readonly float[] _largest;
    private readonly double[] _squares;
    private readonly double[]? _gram;
    private readonly double[] _panels;
    private int _buffered;
    private long _rows;
    private bool _completed;

    /// <summary>Makes an empty accumulator.</summary>
    /// <param name="site">The site; its <see cref="LinearSite.Channels"/> are the width of a row.</param>
    /// <param name="gram">Whether XᵀX is collected.</param>
    /// <exception cref="ArgumentException">The site has no channels, or too many for one matrix in memory (more than 32,768).</exception>
    public SiteAccumulator(LinearSite site, bool gram)
    {
        ArgumentNullException.ThrowIfNull(site);
        if (site.Channels is < 1 or > 32768)
        {
            throw new ArgumentException($"{site.Name} has {site.Channels} channels; statistics are kept for 1 to 32,768", nameof(site));
        }

        _site = site;
        _largest = new float[site.Channels];
        _squares = new double[site.Channels];
        _gram = gram ? new double[(long)site.Channels * site.Channels] : null;
        _panels = gram ? new double[Panels.Count(site.Channels) * Panels.Width * BlockRows] : [];
    }

    /// <summary>The site.</summary>
    public LinearSite Site => _site;

    /// <summary>Threads, -1: all cores. The result does not depend on it.</summary>
    internal int Threads { get; init; } = -1;

    /// <summary>Rows so far.</summary>
    public long Rows => _rows;

    /// <summary>Adds rows.</summary>
    /// <param name="rows">[r, K], row-major, r may be 0.</param>
    /// <exception cref="ArgumentException">The length is no multiple of K.</exception>
    /// <exception cref="InvalidOperationException">The statistics are complete.</exception>
    /// <exception cref="QuantizationException">A value is NaN or infinite; nothing of this call was added.</exception>
    public void Add(ReadOnlySpan<float> rows)
    {
        Open();
        int width = _site.Channels;
        if (rows.Length % width != 0)
        {
            throw new ArgumentException($"{_site.Name}: {rows.Length} values are no whole rows of {width}", nameof(rows));
        }

        for (int i = 0; i < rows.Length; i++)
        {
            if (!float.IsFinite(rows[i]))
            {
                throw new QuantizationException($"calibration of {_site.Name}", FormattableString.Invariant(
                    $"row {_rows + (i / width)}, channel {i % width} is {rows[i]}, expected a finite number; the float model overflows on this text: leave it out"));
            }
        }

        for (int first = 0; first < rows.Length; first += width)
        {
            Append(rows.Slice(first, width));
        }
    }

    /// <summary>The statistics of all rows. The Gram matrix is handed over, not copied, so nothing can be added afterwards.</summary>
    /// <returns>The statistics.</returns>
    /// <exception cref="InvalidOperationException">It was called before.</exception>
    public SiteStatistics Complete()
    {
        Open();
        _completed = true;
        Flush();
        if (_gram is not null)
        {
            Mirror(_gram, _site.Channels);
        }

        return new SiteStatistics
        {
            Site = _site,
            Rows = _rows,
            MaxAbs = _largest.Max(),
            AbsMax = _largest,
            SumOfSquares = _squares,
            Gram = _gram,
        };
    }

    /// <summary>The lower triangle from the upper one, in squares that fit the first-level cache.</summary>
    private static void Mirror(double[] gram, int width)
    {
        const int Square = 32;
        for (int top = 0; top < width; top += Square)
        {
            for (int left = 0; left <= top; left += Square)
            {
                for (int i = top; i < Math.Min(top + Square, width); i++)
                {
                    for (int j = left; j < Math.Min(left + Square, i); j++)
                    {
                        gram[((long)i * width) + j] = gram[((long)j * width) + i];
                    }
                }
            }
        }
    }

    private void Open()
    {
        if (_completed)
        {
            throw new InvalidOperationException($"the statistics of {_site.Name} are complete");
        }
    }

    private void Append(ReadOnlySpan<float> row)
    {
        int i = 0;
        ref float x = ref MemoryMarshal.GetReference(row);
        ref float largest = ref MemoryMarshal.GetArrayDataReference(_largest);
        for (; i + Vector256<float>.Count <= row.Length; i += Vector256<float>.Count)
        {
            Vector256.Max(Vector256.LoadUnsafe(ref largest, (nuint)i), Vector256.Abs(Vector256.LoadUnsafe(ref x, (nuint)i))).StoreUnsafe(ref largest, (nuint)i);
        }

        for (; i < row.Length; i++)
        {
            _largest[i] = Math.Max(_largest[i], Math.Abs(row[i]));
        }

        // The square of a float is exact in double: fusing changes nothing.
        for (i = 0; i < row.Length; i++)
        {
            double value = row[i];
            _squares[i] += value * value;
        }

        _rows++;
        if (_gram is null)
        {
            return;
        }

        for (int panel = 0, column = 0; column < row.Length; panel++, column += Panels.Width)
        {
            Span<double> target = _panels.AsSpan((panel * Panels.Width * BlockRows) + (_buffered * Panels.Width), Math.Min(Panels.Width, row.Length - column));
            for (int j = 0; j < target.Length; j++)
            {
                target[j] = row[column + j];
            }
        }

        if (++_buffered == BlockRows)
        {
            Flush();
        }
    }

    private void Flush()
    {
        if (_gram is not null && _buffered > 0)
        {
            SymmetricUpdate.Add(_gram, _site.Channels, _panels, Panels.Width * BlockRows, _site.Channels, _buffered, 1, Threads, CancellationToken.None);
            _buffered = 0;
        }
    }
}
