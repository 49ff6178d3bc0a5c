using System.Globalization;
using System.Security;
using System.Text;

namespace LongCat.ML.Training.Reports;

/// <summary>Lines over one axis as an SVG picture of its own: no scripts, no fonts, nothing from a network.</summary>
internal sealed class SvgChart(string title, string xLabel, string yLabel)
{
    private const int Left = 72, Right = 20, Top = 40, Bottom = 50, Ticks = 5;
    private readonly List<ChartSeries> _series = [];

    /// <summary>Pixels.</summary>
    public int Width { get; init; } = 760;

    /// <summary>Pixels.</summary>
    public int Height { get; init; } = 420;

    /// <summary>Whether the vertical axis begins at zero, as quantities do that cannot be negative.</summary>
    public bool FromZero { get; init; }

    /// <summary>Adds a line; one without points does not appear.</summary>
    public SvgChart Add(ChartSeries series)
    {
        _series.Add(series);
        return this;
    }

    /// <summary>The picture.</summary>
    public override string ToString()
    {
        (ChartSeries Series, IReadOnlyList<(double X, double Y)> Points)[] drawn = [.. _series.Select(s => (s, s.Drawn())).Where(s => s.Item2.Count > 0)];
        var all = drawn.SelectMany(s => s.Points).ToList();
        var (x0, x1, xStep) = Axis(all.Count == 0 ? 0 : Math.Min(0, all.Min(p => p.X)), all.Count == 0 ? 1 : all.Max(p => p.X), whole: false);
        var (y0, y1, yStep) = Axis(all.Count == 0 || FromZero ? 0 : all.Min(p => p.Y), all.Count == 0 ? 1 : all.Max(p => p.Y), whole: true);
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<title>{Text(title)}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{Left}\" y=\"22\" font-size=\"15\">{Text(title)}</text>\n");
        for (double y = y0; y <= y1 + (yStep / 2); y += yStep)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(y):F1}\" y2=\"{Y(y):F1}\" stroke=\"#ddd\"/><text x=\"{Left - 8}\" y=\"{Y(y) + 4:F1}\" text-anchor=\"end\">{Number(y, yStep)}</text>\n");
        }

        for (double x = x0; x <= x1 + (xStep * 1e-6); x += xStep)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(x):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{Number(x, xStep)}</text>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 10}\" text-anchor=\"middle\">{Text(xLabel)}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"16\" y=\"{Height / 2}\" transform=\"rotate(-90 16 {Height / 2})\" text-anchor=\"middle\">{Text(yLabel)}</text>\n");
        for (int row = 0; row < drawn.Length; row++)
        {
            var (series, points) = drawn[row];
            svg.Append("<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"").Append(Text(series.Colour)).Append("\" points=\"");
            foreach (var (x, y) in points)
            {
                svg.Append(CultureInfo.InvariantCulture, $"{X(x):F1},{Y(y):F1} ");
            }

            svg.Append("\"/>\n");
            foreach (var (x, y) in series.Marked ? points : [])
            {
                svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(x):F1}\" cy=\"{Y(y):F1}\" r=\"3\" fill=\"{Text(series.Colour)}\"/>\n");
            }

            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Width - 260}\" y=\"{Top + (18 * row)}\" width=\"14\" height=\"4\" fill=\"{Text(series.Colour)}\"/><text x=\"{Width - 240}\" y=\"{Top + 6 + (18 * row)}\">{Text(series.Name)}</text>\n");
        }

        return svg.Append("</svg>\n").ToString();

        double X(double x) => Left + ((Width - Left - Right) * (x - x0) / (x1 - x0));
        double Y(double y) => Height - Bottom - ((Height - Top - Bottom) * (y - y0) / (y1 - y0));
    }

    /// <summary>Where an axis begins and ends and the distance of its marks: 1, 2 or 5 times a power of ten.</summary>
    private static (double First, double Last, double Step) Axis(double least, double most, bool whole)
    {
        double span = most - least;
        if (!(span > 0))
        {
            span = Math.Max(Math.Abs(most) * 0.1, 1e-12);
            most = least + span;
        }

        double power = Math.Pow(10, Math.Floor(Math.Log10(span / Ticks)));
        double rest = span / Ticks / power;
        double step = power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
        return whole ? (Math.Floor(least / step) * step, Math.Ceiling(most / step) * step, step) : (least, most, step);
    }

    private static string Number(double value, double step)
    {
        double rounded = Math.Abs(value) < step * 1e-6 ? 0 : value;
        int digits = (int)Math.Clamp(-Math.Floor(Math.Log10(step)), 0, 12);
        return digits > 4 && rounded != 0 ? rounded.ToString("0.##e-0", CultureInfo.InvariantCulture) : rounded.ToString("F" + Math.Min(digits, 4), CultureInfo.InvariantCulture);
    }

    private static string Text(string text) => SecurityElement.Escape(text);
}
