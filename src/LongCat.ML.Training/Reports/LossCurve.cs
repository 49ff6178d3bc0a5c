using System.Globalization;
using System.Text;
using System.Text.Json;

namespace LongCat.ML.Training.Reports;

/// <summary>Draws a run's log as an SVG picture: training loss (smoothed), draft loss, and held-out loss over tokens.</summary>
public static class LossCurve
{
    private const int Width = 760, Height = 420, Left = 60, Right = 20, Top = 40, Bottom = 50;

    /// <summary>Draws a log.</summary>
    /// <param name="log">The JSON-lines file of <see cref="TrainingLog"/>.</param>
    /// <param name="picture">The SVG file; replaced when it exists.</param>
    /// <param name="title">The picture's title.</param>
    public static void Draw(string log, string picture, string title)
    {
        List<(double X, double Y)> train = [], draft = [], held = [];
        double smoothTrain = double.NaN, smoothDraft = double.NaN;
        foreach (string line in File.ReadLines(log))
        {
            using var json = JsonDocument.Parse(line);
            double tokens = json.RootElement.GetProperty("tokens").GetDouble();
            if (Number(json.RootElement, "loss") is double loss)
            {
                smoothTrain = double.IsNaN(smoothTrain) ? loss : (0.9 * smoothTrain) + (0.1 * loss);
                train.Add((tokens, smoothTrain));
            }

            if (Number(json.RootElement, "draft_loss") is double draftLoss)
            {
                smoothDraft = double.IsNaN(smoothDraft) ? draftLoss : (0.9 * smoothDraft) + (0.1 * draftLoss);
                draft.Add((tokens, smoothDraft));
            }

            if (Number(json.RootElement, "held_out_loss") is double heldOut)
            {
                held.Add((tokens, heldOut));
            }
        }

        File.WriteAllText(picture, Svg(title, train, draft, held));
    }

    private static double? Number(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static string Svg(string title, List<(double X, double Y)> train, List<(double X, double Y)> draft, List<(double X, double Y)> held)
    {
        var all = train.Concat(draft).Concat(held).ToList();
        double maxX = all.Count == 0 ? 1 : Math.Max(1, all.Max(p => p.X));
        double minY = all.Count == 0 ? 0 : Math.Floor(all.Min(p => p.Y));
        double maxY = all.Count == 0 ? 1 : Math.Max(minY + 1, Math.Ceiling(all.Max(p => p.Y)));
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"22\" font-size=\"15\">{System.Security.SecurityElement.Escape(title)}</text>\n");
        for (double y = minY; y <= maxY; y++)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(y):F1}\" y2=\"{Y(y):F1}\" stroke=\"#ddd\"/><text x=\"{Left - 8}\" y=\"{Y(y) + 4:F1}\" text-anchor=\"end\">{y:F0}</text>\n");
        }

        for (int i = 0; i <= 4; i++)
        {
            double x = maxX * i / 4;
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{X(x):F1}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{x / 1e6:F2}M</text>\n");
        }

        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 10}\" text-anchor=\"middle\">training tokens</text>\n");
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"16\" y=\"{Height / 2}\" transform=\"rotate(-90 16 {Height / 2})\" text-anchor=\"middle\">cross-entropy (nats)</text>\n");
        Line(draft, "#b0b0b0", "draft head (training, smoothed)", 0);
        Line(train, "#1f77b4", "next token (training, smoothed)", 1);
        Line(held, "#d62728", "next token (held out)", 2);
        return svg.Append("</svg>\n").ToString();

        double X(double x) => Left + ((Width - Left - Right) * x / maxX);
        double Y(double y) => Height - Bottom - ((Height - Top - Bottom) * (y - minY) / (maxY - minY));

        void Line(List<(double X, double Y)> points, string colour, string name, int row)
        {
            if (points.Count == 0)
            {
                return;
            }

            svg.Append("<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"").Append(colour).Append("\" points=\"");
            foreach (var (x, y) in points)
            {
                svg.Append(CultureInfo.InvariantCulture, $"{X(x):F1},{Y(y):F1} ");
            }

            svg.Append("\"/>\n");
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Width - 260}\" y=\"{Top + (18 * row)}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{Width - 240}\" y=\"{Top + 6 + (18 * row)}\">{name}</text>\n");
        }
    }
}
