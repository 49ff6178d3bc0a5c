using System.Globalization;
using System.Security;
using System.Text;

namespace LongCat.ML.Quantization;

/// <summary>
/// Draws a report: the error of every matrix over the layers by what it does, the share of clipped weights, which rule chose the scales of the inputs, and the
/// worst matrices by name. The same report gives the same bytes.
/// </summary>
internal sealed class QuantizationPicture
{
    private const int Width = 980, Left = 170, Right = 190, PlotHeight = 220, ClipHeight = 90, Cell = 16, Gap = 46, Worst = 8;

    // Colour-blind safe (Okabe and Ito), then their darker forms.
    private static readonly string[] Colours =
        ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c7a00", "#555555", "#004b75", "#9a6a00", "#00664a", "#8a3d00"];

    private static readonly (string Name, string Colour)[] Branches = [("dynamic", "#56b4e9"), ("static", "#009e73"), ("static, equalized", "#e69f00"), ("no calibration row", "#bbbbbb")];

    private readonly StringBuilder _svg = new();
    private readonly (MatrixReport Matrix, MatrixPlace Place)[] _matrices;
    private readonly ILookup<MatrixPlace, MatrixReport> _cells;
    private readonly int[] _layers;
    private readonly string[] _kinds;

    private QuantizationPicture(MatrixReport[] matrices)
    {
        _matrices = [.. matrices.Select(matrix => (matrix, MatrixPlace.Of(matrix.Name)))];
        _cells = _matrices.ToLookup(entry => entry.Place, entry => entry.Matrix);
        // What belongs to no layer stands behind the last one.
        _layers = [.. _matrices.Select(entry => entry.Place.Layer).Distinct().OrderBy(layer => layer < 0 ? int.MaxValue : layer)];
        _kinds = [.. _matrices.Select(entry => entry.Place.Kind).Distinct().Order(StringComparer.Ordinal)];
    }

    public static byte[] Draw(QuantizationOptions options, MatrixReport[] matrices, long tokens, bool dataFree)
    {
        QuantizationPicture picture = new(matrices);
        picture.All(options, tokens, dataFree);
        return Encoding.UTF8.GetBytes(picture._svg.ToString());
    }

    private void All(QuantizationOptions options, long tokens, bool dataFree)
    {
        int clip = 70 + PlotHeight + Gap, strip = clip + ClipHeight + Gap, list = strip + (_kinds.Length * Cell) + Gap + 20, height = list + (Math.Min(Worst, _matrices.Length) * 15) + 16;
        Add($"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{height}\" viewBox=\"0 0 {Width} {height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n");
        Add($"<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        double weights = _matrices.Sum(entry => (double)entry.Matrix.OutFeatures * entry.Matrix.InFeatures);
        string groups = options.GroupSize == 0 ? "one scale per channel" : $"groups of {options.GroupSize}";
        string data = tokens == 0 ? "no calibration" : dataFree ? $"{tokens} random tokens" : $"{tokens} tokens of text";
        Label(20, 26, $"{options.Recipe}: {options.Scaling}, {groups}, {data}", "font-size=\"16\"");
        Label(20, 44, string.Create(CultureInfo.InvariantCulture, $"{_matrices.Length} matrices, {weights / 1e6:F1} million weights, mean relative error {(_matrices.Length == 0 ? 0 : _matrices.Average(entry => entry.Matrix.RelativeError)):P2}"), "fill=\"#555\"");
        Dots(70, PlotHeight, "relative error", matrix => matrix.RelativeError);
        Legend(70);
        Dots(clip, ClipHeight, "clipped share", matrix => matrix.ClippedShare);
        LayerNumbers(clip + ClipHeight + 18);
        Strip(strip);
        WorstOnes(list);
        _svg.Append("</svg>\n");
    }

    // One dot per matrix; experts, of which there are hundreds, as a line from the best to the worst with a dot at their mean.
    private void Dots(int top, int height, string title, Func<MatrixReport, double> value)
    {
        double most = Nice(_matrices.Length == 0 ? 0 : _matrices.Max(entry => value(entry.Matrix)));
        Label(20, top + (height / 2), title, "");
        for (int i = 0; i <= 4; i++)
        {
            double y = top + height - (height * i / 4.0);
            Add($"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:F1}\" y2=\"{y:F1}\" stroke=\"#e4e4e4\"/>");
            Label(Left - 8, y + 4, string.Create(CultureInfo.InvariantCulture, $"{most * i * 25:0.###} %"), "text-anchor=\"end\" fill=\"#555\"");
        }

        for (int kind = 0; kind < _kinds.Length; kind++)
        {
            for (int layer = 0; layer < _layers.Length; layer++)
            {
                double[] values = [.. At(layer, kind).Select(value)];
                double x = X(layer) + ((kind - ((_kinds.Length - 1) / 2.0)) * Math.Min(7, 0.7 * Slot / Math.Max(1, _kinds.Length)));
                string colour = Colours[kind % Colours.Length];
                if (_kinds[kind].StartsWith("experts.", StringComparison.Ordinal) && values.Length > 1)
                {
                    Add($"<line x1=\"{x:F1}\" x2=\"{x:F1}\" y1=\"{Y(values.Min()):F1}\" y2=\"{Y(values.Max()):F1}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
                    values = [values.Average()];
                }

                foreach (double one in values)
                {
                    Add($"<circle cx=\"{x:F1}\" cy=\"{Y(one):F1}\" r=\"3\" fill=\"{colour}\"/>");
                }
            }
        }

        _svg.Append('\n');
        double Y(double one) => top + height - (height * one / most);
    }

    private void Legend(int top)
    {
        for (int kind = 0; kind < _kinds.Length; kind++)
        {
            Add($"<circle cx=\"{Width - Right + 20}\" cy=\"{top + 6 + (kind * 15)}\" r=\"4\" fill=\"{Colours[kind % Colours.Length]}\"/>");
            Label(Width - Right + 30, top + 10 + (kind * 15), _kinds[kind], "");
        }

        _svg.Append('\n');
    }

    private void LayerNumbers(int y)
    {
        int stride = Math.Max(1, (int)Math.Ceiling(24 / Slot));
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            if (layer % stride == 0 || _layers[layer] < 0)
            {
                Label(X(layer), y, _layers[layer] < 0 ? "other" : _layers[layer].ToString(CultureInfo.InvariantCulture), "text-anchor=\"middle\" fill=\"#555\"");
            }
        }

        Label(Left - 8, y, "layer", "text-anchor=\"end\" fill=\"#555\"");
    }

    // Which rule chose the scale of the inputs: a row per kind, a cell per layer; where matrices of a cell differ, side by side.
    private void Strip(int top)
    {
        Label(20, top - 6, "scale of the inputs", "");
        double cell = Math.Min(Slot - 1, 40);
        for (int kind = 0; kind < _kinds.Length; kind++)
        {
            Label(Left - 8, top + (kind * Cell) + 12, _kinds[kind], "text-anchor=\"end\" fill=\"#555\"");
            for (int layer = 0; layer < _layers.Length; layer++)
            {
                int[] branches = [.. At(layer, kind).Select(Branch).Distinct().Order()];
                for (int i = 0; i < branches.Length; i++)
                {
                    double width = cell / branches.Length;
                    Add($"<rect x=\"{X(layer) - (cell / 2) + (i * width):F1}\" y=\"{top + (kind * Cell)}\" width=\"{width:F1}\" height=\"{Cell - 2}\" fill=\"{Branches[branches[i]].Colour}\"/>");
                }
            }
        }

        for (int i = 0; i < Branches.Length; i++)
        {
            Add($"<rect x=\"{Width - Right + 14}\" y=\"{top + (i * 15)}\" width=\"11\" height=\"11\" fill=\"{Branches[i].Colour}\"/>");
            Label(Width - Right + 30, top + 10 + (i * 15), Branches[i].Name, "");
        }

        _svg.Append('\n');
    }

    private void WorstOnes(int top)
    {
        (MatrixReport Matrix, MatrixPlace Place)[] worst = [.. _matrices.OrderByDescending(entry => entry.Matrix.RelativeError).ThenBy(entry => entry.Matrix.Name, StringComparer.Ordinal).Take(Worst)];
        Label(20, top - 8, "largest errors", "");
        for (int i = 0; i < worst.Length; i++)
        {
            MatrixReport matrix = worst[i].Matrix;
            Label(Left - 8, top + 8 + (i * 15), string.Create(CultureInfo.InvariantCulture, $"{matrix.RelativeError:P2}"), "text-anchor=\"end\"");
            Label(Left, top + 8 + (i * 15), $"{matrix.Name} ({matrix.Scheme}; {matrix.Branch})", "fill=\"#555\"");
        }
    }

    private double Slot => (Width - Left - Right) / (double)Math.Max(1, _layers.Length);

    private double X(int layer) => Left + ((layer + 0.5) * Slot);

    private IEnumerable<MatrixReport> At(int layer, int kind) => _cells[new MatrixPlace(_layers[layer], _kinds[kind])];

    private static int Branch(MatrixReport matrix) =>
        matrix.Activation == "static" ? matrix.Branch.Contains("equalized", StringComparison.Ordinal) ? 2 : 1
        : matrix.Branch.Contains("no calibration row", StringComparison.Ordinal) ? 3 : 0;

    // The next of 1, 2, 4 times a power of ten, so that the axis has round numbers.
    private static double Nice(double most)
    {
        if (!(most > 0))
        {
            return 0.01;
        }

        double power = Math.Pow(10, Math.Floor(Math.Log10(most)));
        return power * (most <= power ? 1 : most <= 2 * power ? 2 : most <= 4 * power ? 4 : 10);
    }

    private void Label(double x, double y, string text, string style) =>
        Add($"<text x=\"{x:F1}\" y=\"{y:F1}\" {style}>{SecurityElement.Escape(text)}</text>\n");

    private void Add(FormattableString text) => _svg.Append(text.ToString(CultureInfo.InvariantCulture));
}
