using System.Globalization;
using System.Security;
using System.Text;
using LongCat.ML.Training.Reports;

namespace LongCat.ML.Training.FineTuning;

/// <summary>A run as one HTML page that needs nothing else: figures, curves as SVG, settings. Well-formed XML, so that other tools can read it too.</summary>
internal sealed class FineTuningReport
{
    private const string Style = """
        body { font-family: sans-serif; margin: 2em auto; max-width: 62em; color: #222; }
        table { border-collapse: collapse; margin: 1em 0; }
        td, th { border-bottom: 1px solid #ddd; padding: 0.3em 1em 0.3em 0; text-align: left; vertical-align: top; }
        td.number { text-align: right; font-variant-numeric: tabular-nums; }
        svg { max-width: 100%; height: auto; }
        """;

    private readonly StringBuilder _html = new();

    /// <summary>The page.</summary>
    /// <param name="title">Its title.</param>
    /// <param name="figures">Names and values of the summary.</param>
    /// <param name="settings">Names and values of the settings.</param>
    /// <param name="modules">Trainable parameters by module.</param>
    /// <param name="history">The steps.</param>
    /// <param name="section">XHTML that follows the figures, or nothing.</param>
    public static string Html(
        string title,
        IEnumerable<(string Name, string Value)> figures,
        IEnumerable<(string Name, string Value)> settings,
        IEnumerable<(string Module, long Parameters)> modules,
        IReadOnlyList<HistoryPoint> history,
        string section = "")
    {
        var report = new FineTuningReport();
        report._html.Append("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n")
            .Append(CultureInfo.InvariantCulture, $"<title>{Text(title)}</title>\n<style>\n{Style}\n</style>\n</head>\n<body>\n<h1>{Text(title)}</h1>\n");
        report.Table(figures);
        report._html.Append(section);
        report.Charts(history);
        report._html.Append("<h2>Settings</h2>\n");
        report.Table(settings);
        report._html.Append("<h2>Trained parameters</h2>\n<table>\n<tr><th>modules</th><th>how many</th><th>parameters</th></tr>\n");
        foreach (var group in modules.GroupBy(m => Pattern(m.Module)))
        {
            report._html.Append(CultureInfo.InvariantCulture, $"<tr><td>{Text(group.Key)}</td><td class=\"number\">{group.Select(m => m.Module).Distinct().Count()}</td><td class=\"number\">{group.Sum(m => m.Parameters):N0}</td></tr>\n");
        }

        return report._html.Append("</table>\n</body>\n</html>\n").ToString();
    }

    private void Charts(IReadOnlyList<HistoryPoint> history)
    {
        HistoryPoint[] steps = [.. history.Where(p => p.Step > 0)];
        (double, double)[] losses = [.. steps.Select(p => ((double)p.Step, p.Loss))];
        (double, double)[] validation = [.. history.Where(p => double.IsFinite(p.ValidationLoss)).Select(p => ((double)p.Step, p.ValidationLoss))];
        _html.Append(new SvgChart("Loss", "step", "cross-entropy (nats)")
            .Add(new ChartSeries("training", "#c6dbef", losses))
            .Add(new ChartSeries("training, smoothed", "#1f77b4", ChartSeries.Smooth(losses)))
            .Add(new ChartSeries("validation", "#d62728", validation) { Marked = true }));
        _html.Append(Single("Learning rate", "rate", "#2ca02c", steps.Select(p => p.LearningRate)));
        if (steps.Any(p => p.Beta != 0))
        {
            _html.Append(Single("β of AFA-LoRA", "β", "#9467bd", steps.Select(p => p.Beta)));
        }

        _html.Append(Single("Gradient norm before clipping", "norm", "#8c564b", steps.Select(p => p.GradientNorm)));

        SvgChart Single(string title, string label, string colour, IEnumerable<double> values) => new SvgChart(title, "step", label) { Height = 260, FromZero = true }
            .Add(new ChartSeries(label, colour, [.. steps.Zip(values, (p, value) => ((double)p.Step, value))]));
    }

    private void Table(IEnumerable<(string Name, string Value)> rows)
    {
        _html.Append("<table>\n");
        foreach (var (name, value) in rows)
        {
            _html.Append(CultureInfo.InvariantCulture, $"<tr><th>{Text(name)}</th><td>{Text(value)}</td></tr>\n");
        }

        _html.Append("</table>\n");
    }

    /// <summary>A module's path with its numbers replaced, so that equal modules of all layers are one row.</summary>
    private static string Pattern(string module) => string.Join('.', module.Split('.').Select(part => part.Length > 0 && part.All(char.IsAsciiDigit) ? "*" : part));

    /// <summary>Escapes markup, and drops characters that XML cannot hold.</summary>
    private static string Text(string text) => SecurityElement.Escape(string.Concat(text.Where(c => c is '\t' or '\n' or '\r' or >= ' ' and not ('\uFFFE' or '\uFFFF') && !char.IsSurrogate(c))));
}
