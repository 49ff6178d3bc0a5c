namespace LongCat.ML.Training.Reports;

/// <summary>One line of a chart.</summary>
/// <param name="Name">What the legend says.</param>
/// <param name="Colour">A colour of SVG.</param>
/// <param name="Points">The points in the order of x; those that are not finite are left out.</param>
internal sealed record ChartSeries(string Name, string Colour, IReadOnlyList<(double X, double Y)> Points)
{
    private const int MostPoints = 1000;

    /// <summary>Whether each point is marked, for series of few points.</summary>
    public bool Marked { get; init; }

    /// <summary>The series smoothed by an exponential mean.</summary>
    /// <param name="points">The points.</param>
    /// <param name="keep">How much of the mean each point keeps, 0..1.</param>
    public static IReadOnlyList<(double X, double Y)> Smooth(IEnumerable<(double X, double Y)> points, double keep = 0.9)
    {
        double mean = double.NaN;
        return [.. points.Where(p => double.IsFinite(p.Y)).Select(p => (p.X, mean = double.IsNaN(mean) ? p.Y : (keep * mean) + ((1 - keep) * p.Y)))];
    }

    /// <summary>Finite points, so many that a picture can show them: neighbours are averaged.</summary>
    public IReadOnlyList<(double X, double Y)> Drawn()
    {
        (double X, double Y)[] finite = [.. Points.Where(p => double.IsFinite(p.X) && double.IsFinite(p.Y))];
        int group = (finite.Length + MostPoints - 1) / MostPoints;
        return group <= 1 ? finite : [.. finite.Chunk(group).Select(part => (part.Average(p => p.X), part.Average(p => p.Y)))];
    }
}
