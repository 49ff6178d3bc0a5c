using System.Globalization;
using System.Security;
using System.Text;

namespace LongCat.ML.Training.Reports;

/// <summary>Bars of few kinds as an SVG picture of its own: no scripts, no fonts, nothing from a network.</summary>
internal sealed class BarChart(string title, string xLabel, string yLabel)
{
    private const int Left = 72, Right = 20, Top = 64, Bottom = 50, Height = 360, Ticks = 5;

    /// <summary>Name, value and kind of each bar, from left to right; all values finite.</summary>
    public required IReadOnlyList<(string Name, double Value, int Kind)> Bars { get; init; }

    /// <summary>What the legend says of each kind, and its colour.</summary>
    public required IReadOnlyList<(string Name, string Colour)> Kinds { get; init; }

    /// <summary>A dashed line across, and what the legend says of it.</summary>
    public (double Value, string Name)? Line { get; init; }

    /// <summary>The picture.</summary>
    public override string ToString()
    {
        double step = StepOf(Math.Max(1, Bars.Max(bar => bar.Value)) - Math.Min(0, Bars.Min(bar => bar.Value)));
        double least = Math.Floor(Math.Min(0, Bars.Min(bar => bar.Value)) / step) * step, most = Math.Ceiling(Math.Max(1, Bars.Max(bar => bar.Value)) / step) * step;
        double room = Math.Clamp(660.0 / Bars.Count, 12, 60);
        int width = Left + Right + (int)Math.Ceiling(Math.Max(400, room * Bars.Count));
        StringBuilder svg = new();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {Height}\" width=\"{width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n");
        svg.Append(CultureInfo.InvariantCulture, $"<title>{Text(title)}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{Left}\" y=\"22\" font-size=\"15\">{Text(title)}</text>\n");
        for (int i = 0; least + (i * step) <= most + (step / 2); i++)
        {
            double y = least + (i * step);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{width - Right}\" y1=\"{Y(y):F1}\" y2=\"{Y(y):F1}\" stroke=\"#ddd\"/><text x=\"{Left - 8}\" y=\"{Y(y) + 4:F1}\" text-anchor=\"end\">{y:0.###}</text>\n");
        }

        // Names that would run into one another are left out.
        int every = (int)Math.Ceiling(18 / room);
        for (int i = 0; i < Bars.Count; i++)
        {
            var (name, value, kind) = Bars[i];
            double x = Left + ((i + 0.5) * room), end = Y(value), zero = Y(0);
            svg.Append(CultureInfo.InvariantCulture,
                $"<rect class=\"bar\" x=\"{x - (0.38 * room):F1}\" y=\"{Math.Min(end, zero):F1}\" width=\"{0.76 * room:F1}\" height=\"{Math.Max(0.5, Math.Abs(end - zero)):F1}\" fill=\"{Text(Kinds[kind].Colour)}\"><title>{Text(name)}: {value:F4}</title></rect>\n");
            if (i % every == 0)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{Text(name)}</text>\n");
            }
        }

        int legend = Left;
        foreach (var (name, colour) in Kinds)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{legend}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{Text(colour)}\"/><text x=\"{legend + 18}\" y=\"46\">{Text(name)}</text>\n");
            legend += 40 + (7 * name.Length);
        }

        if (Line is { } line)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{width - Right}\" y1=\"{Y(line.Value):F1}\" y2=\"{Y(line.Value):F1}\" stroke=\"#555\" stroke-dasharray=\"5 4\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{legend}\" x2=\"{legend + 14}\" y1=\"42\" y2=\"42\" stroke=\"#555\" stroke-dasharray=\"5 4\"/><text x=\"{legend + 20}\" y=\"46\">{Text(line.Name)}</text>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{width - Right}\" y1=\"{Y(0):F1}\" y2=\"{Y(0):F1}\" stroke=\"#333\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + width - Right) / 2}\" y=\"{Height - 10}\" text-anchor=\"middle\">{Text(xLabel)}</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"16\" y=\"{Height / 2}\" transform=\"rotate(-90 16 {Height / 2})\" text-anchor=\"middle\">{Text(yLabel)}</text>\n");
        return svg.Append("</svg>\n").ToString();

        double Y(double y) => Height - Bottom - ((Height - Top - Bottom) * (Math.Clamp(y, least, most) - least) / (most - least));
    }

    /// <summary>The distance of an axis's marks: 1, 2 or 5 times a power of ten.</summary>
    private static double StepOf(double span)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(span / Ticks))), rest = span / Ticks / power;
        return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
    }

    private static string Text(string text) => SecurityElement.Escape(text);
}
