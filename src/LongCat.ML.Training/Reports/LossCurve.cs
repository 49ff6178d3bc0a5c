using System.Text.Json;

namespace LongCat.ML.Training.Reports;

/// <summary>Draws a run's log as an SVG picture: training loss (smoothed), draft loss, and held-out loss over tokens.</summary>
public static class LossCurve
{
    /// <summary>Draws a log.</summary>
    /// <param name="log">The JSON-lines file of <see cref="TrainingLog"/>.</param>
    /// <param name="picture">The SVG file; replaced when it exists.</param>
    /// <param name="title">The picture's title.</param>
    public static void Draw(string log, string picture, string title)
    {
        List<(double X, double Y)> train = [], draft = [], held = [];
        foreach (string line in File.ReadLines(log))
        {
            using var json = JsonDocument.Parse(line);
            double millions = json.RootElement.GetProperty("tokens").GetDouble() / 1e6;
            Add(train, "loss");
            Add(draft, "draft_loss");
            Add(held, "held_out_loss");

            void Add(List<(double X, double Y)> points, string name)
            {
                if (json.RootElement.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number)
                {
                    points.Add((millions, value.GetDouble()));
                }
            }
        }

        var chart = new SvgChart(title, "training tokens (millions)", "cross-entropy (nats)")
            .Add(new ChartSeries("draft head (training, smoothed)", "#b0b0b0", ChartSeries.Smooth(draft)))
            .Add(new ChartSeries("next token (training, smoothed)", "#1f77b4", ChartSeries.Smooth(train)))
            .Add(new ChartSeries("next token (held out)", "#d62728", held));
        File.WriteAllText(picture, chart.ToString());
    }
}
