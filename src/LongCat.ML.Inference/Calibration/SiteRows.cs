using System.Buffers;
using System.Numerics.Tensors;
using LongCat.ML.Quantization;

namespace LongCat.ML.Inference.Calibration;

/// <summary>
/// Where the rows of a site are in a probe graph's outputs. A plain site is an output of its own. Of a mixture M there are its input <c>M</c> [T, H], the chosen experts <c>M.selected</c> [T, k]
/// and what each made inside, <c>M.inner</c> [T, k, I]: the input of expert e is the rows of <c>M</c> that chose e, its inner site the rows of <c>M.inner</c> that are e's.
/// </summary>
internal sealed class SiteRows
{
    private const string InnerSuffix = ".inner", SelectedSuffix = ".selected";
    private readonly string _output;
    private readonly string? _selected;
    private readonly bool _inner;
    private readonly int _firstExpert;
    private readonly int _endExpert;

    private SiteRows(LinearSite site, string output, string? selected, bool inner, int firstExpert, int endExpert)
    {
        Site = site;
        _output = output;
        _selected = selected;
        _inner = inner;
        _firstExpert = firstExpert;
        _endExpert = endExpert;
    }

    public LinearSite Site { get; }

    /// <summary>The outputs that it reads.</summary>
    public IEnumerable<string> Outputs => _selected is null ? [_output] : [_output, _selected];

    /// <summary>The sites with their rows. A mixture's inner rows together are a site too: they stand in for an expert that no token chose.</summary>
    /// <exception cref="ArgumentException">An expert's site has no parent, or two sites have one name.</exception>
    public static IReadOnlyList<SiteRows> Of(IReadOnlyList<LinearSite> sites)
    {
        List<SiteRows> found = [];
        HashSet<string> known = new(StringComparer.Ordinal);
        foreach (LinearSite site in sites)
        {
            if (!known.Add(site.Name))
            {
                throw new ArgumentException($"two sites are named '{site.Name}'", nameof(sites));
            }

            found.Add(site.Expert is { } expert ? OfExpert(site, expert) : new SiteRows(site, site.Name, null, inner: false, 0, 0));
        }

        foreach (IGrouping<string, SiteRows> mixture in found.Where(rows => rows._inner).GroupBy(rows => rows._output).ToArray())
        {
            if (known.Add(mixture.Key))
            {
                SiteRows one = mixture.First();
                found.Add(new SiteRows(
                    new LinearSite { Name = mixture.Key, Channels = one.Site.Channels }, mixture.Key, one._selected, inner: true, 0, mixture.Max(rows => rows._endExpert)));
            }
        }

        return found;
    }

    /// <summary>Adds the rows of the last step.</summary>
    /// <returns>The token of the step whose row is the first that is not finite, -1 where all are. Then nothing was added.</returns>
    /// <exception cref="InferenceException">The output has another width than the site.</exception>
    public int AddTo(SiteAccumulator accumulator, ProbeSession probe)
    {
        int width = Site.Channels;
        ReadOnlySpan<float> rows = probe.Read<float>(_output);
        long[] shape = probe.ShapeOf(_output);
        if (shape.Length == 0 || shape[^1] != width)
        {
            throw new InferenceException($"the output '{_output}' has the shape [{string.Join(", ", shape)}], and the site '{Site.Name}' has {width} channels. Export the probe graph again.");
        }

        if (_selected is not null)
        {
            return AddChosen(accumulator, probe.Read<int>(_selected), rows, (int)shape[0]);
        }

        int bad = FirstBad(rows, width);
        if (bad < 0)
        {
            accumulator.Add(rows);
        }

        return bad;
    }

    private static SiteRows OfExpert(LinearSite site, int expert)
    {
        string parent = site.Parent ?? throw new ArgumentException($"the site '{site.Name}' of expert {expert} names no parent", nameof(site));
        bool inner = parent.EndsWith(InnerSuffix, StringComparison.Ordinal);
        return new SiteRows(site, parent, (inner ? parent[..^InnerSuffix.Length] : parent) + SelectedSuffix, inner, expert, expert + 1);
    }

    private int AddChosen(SiteAccumulator accumulator, ReadOnlySpan<int> selected, ReadOnlySpan<float> rows, int tokens)
    {
        int width = Site.Channels;
        int choices = tokens == 0 ? 1 : Math.Max(1, selected.Length / tokens);
        int count = 0;
        foreach (int expert in selected)
        {
            count += Takes(expert) ? 1 : 0;
        }

        // One call for all rows: an accumulator adds many rows at once faster than one after another.
        float[] gathered = ArrayPool<float>.Shared.Rent(Math.Max(1, checked(count * width)));
        try
        {
            int next = 0;
            for (int i = 0; i < selected.Length; i++)
            {
                if (Takes(selected[i]))
                {
                    rows.Slice((_inner ? i : i / choices) * width, width).CopyTo(gathered.AsSpan(next * width));
                    next++;
                }
            }

            ReadOnlySpan<float> chosen = gathered.AsSpan(0, count * width);
            int bad = FirstBad(chosen, width);
            if (bad < 0)
            {
                accumulator.Add(chosen);
                return -1;
            }

            // Which token the row belongs to.
            for (int i = 0; ; i++)
            {
                if (Takes(selected[i]) && bad-- == 0)
                {
                    return i / choices;
                }
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(gathered);
        }
    }

    /// <summary>Identity experts have the numbers behind the real ones: their rows are nobody's.</summary>
    private bool Takes(int expert) => expert >= _firstExpert && expert < _endExpert;

    private static int FirstBad(ReadOnlySpan<float> rows, int width)
    {
        if (rows.IsEmpty || float.IsFinite(TensorPrimitives.MaxMagnitude(rows)))
        {
            return -1;
        }

        int i = 0;
        while (float.IsFinite(rows[i]))
        {
            i++;
        }

        return i / width;
    }
}
