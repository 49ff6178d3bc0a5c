using System.Globalization;
using System.Security;
using System.Text;

namespace LongCat.ML.Quantization;

public sealed partial class QuantizationReport
{
    private const int Width = 900, Left = 60, RowHeight = 12;

    private static byte[] Picture(MatrixReport[] matrices)
    {
        StringBuilder svg = new();
        double most = matrices.Length == 0 ? 1 : Math.Max(1e-6, matrices.Max(matrix => matrix.RelativeError));
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{60 + (matrices.Length * RowHeight)}\" font-family=\"sans-serif\" font-size=\"10\">\n");
        for (int i = 0; i < matrices.Length; i++)
        {
            double length = matrices[i].RelativeError / most * 400;
            int y = 40 + (i * RowHeight);
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Left}\" y=\"{y}\" width=\"{length:F1}\" height=\"{RowHeight - 2}\" fill=\"#4c78a8\"/>");
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{Left + length + 4:F1}\" y=\"{y + 9}\">{SecurityElement.Escape(matrices[i].Name)} {matrices[i].RelativeError:P1}</text>\n");
        }

        return Encoding.UTF8.GetBytes(svg.Append("</svg>\n").ToString());
    }
}
