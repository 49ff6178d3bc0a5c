using System.Globalization;
using System.Security;
using System.Text;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Optimization;
using TorchSharp.Modules;

namespace LongCat.ML.Training.ZigZag;

/// <summary>α of the blended attentions as what is trained.</summary>
internal sealed class AlphaWeights : TunedWeights
{
    private readonly StreamingBlend _blend;
    private readonly ZigZagCalibrationOptions _options;
    private readonly Func<AlphaWeights, ZigZagCalibration> _result;

    /// <param name="model">The model.</param>
    /// <param name="pattern">The pattern and the attentions to calibrate.</param>
    /// <param name="options">The settings.</param>
    /// <param name="result">What is to be written.</param>
    public AlphaWeights(CausalLanguageModel model, StreamingAttentionConfig pattern, ZigZagCalibrationOptions options, Func<AlphaWeights, ZigZagCalibration> result)
    {
        (_options, _result) = (options, result);
        _blend = StreamingBlend.Attach(model, pattern, options.InitialAlpha);
        Parameters = [("alpha", _blend.Alpha)];
    }

    public override IReadOnlyList<(string Name, Parameter Value)> Parameters { get; }

    public override string Title => "Calibration of streaming attention";

    public override string Description => string.Create(CultureInfo.InvariantCulture,
        $"alpha from {_options.InitialAlpha}, {_blend.Pattern.SinkBlocks} + {_blend.Pattern.LocalBlocks} blocks of {_blend.Pattern.BlockSize}, attentions {string.Join(", ", _blend.Pattern.AttentionLayers)}");

    public override IReadOnlyList<(string Module, long Parameters)> ByModule => [.. Alphas.Select(entry => (entry.Module, 1L))];

    /// <summary>α as it is now.</summary>
    public IReadOnlyList<AttentionAlpha> Alphas =>
        [.. _blend.Pattern.AttentionLayers.Zip(_blend.Values, (attention, alpha) => new AttentionAlpha(attention, StreamingSelection.Module(_blend.Model.Config, attention), alpha))];

    /// <summary>The picture of all α and their table.</summary>
    public override string Section
    {
        get
        {
            IReadOnlyList<AttentionAlpha> alphas = Alphas;
            HashSet<int> chosen = [.. StreamingSelection.Lowest(alphas, _options.Share)];
            StringBuilder html = new();
            html.Append(_result(this).Picture([.. chosen]));
            html.Append("<table>\n<tr><th>attention</th><th>module</th><th>α</th><th>rank</th><th></th></tr>\n");
            List<AttentionAlpha> order = [.. alphas.OrderBy(entry => entry.Alpha).ThenBy(entry => entry.Attention)];
            foreach (AttentionAlpha entry in alphas)
            {
                html.Append(CultureInfo.InvariantCulture,
                    $"<tr><td class=\"number\">{entry.Attention}</td><td>{SecurityElement.Escape(entry.Module)}</td><td class=\"number\">{entry.Alpha:F4}</td><td class=\"number\">{order.IndexOf(entry) + 1}</td><td>{(chosen.Contains(entry.Attention) ? "streaming" : "full")}</td></tr>\n");
            }

            return html.Append("</table>\n").ToString();
        }
    }

    /// <summary>No decay: α of 0 is a statement, not a place of rest.</summary>
    public override IReadOnlyList<ParameterGroup> Groups(FineTuningOptions options) => [new ParameterGroup([.. Parameters], 1, 0)];

    public override void Write(string folder) => _result(this).Write(folder);

    public override void Dispose() => _blend.Dispose();
}
