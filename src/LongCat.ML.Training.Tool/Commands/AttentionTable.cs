using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The attentions of a model, what a calibration found, and what becomes of them.</summary>
internal static class AttentionTable
{
    /// <param name="writer">Where to.</param>
    /// <param name="config">The model; its context is named where attentions of it are streaming.</param>
    /// <param name="candidates">The attentions that there were to choose from.</param>
    /// <param name="alphas">What a calibration found, or null.</param>
    /// <param name="chosen">Those that become streaming.</param>
    public static void Print(TextWriter writer, ModelConfig config, IReadOnlyList<int> candidates, IReadOnlyList<AttentionAlpha>? alphas, IReadOnlyList<int> chosen)
    {
        int width = Math.Max(6, candidates.Max(attention => StreamingSelection.Module(config, attention).Length));
        writer.WriteLine($"attention  {"module".PadRight(width)}  {(alphas is null ? "" : "    alpha  ")}becomes");
        foreach (int attention in candidates)
        {
            string alpha = alphas is null ? "" : string.Create(CultureInfo.InvariantCulture, $"{alphas.Single(entry => entry.Attention == attention).Alpha,9:F4}  ");
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{attention,9}  {StreamingSelection.Module(config, attention).PadRight(width)}  {alpha}{(chosen.Contains(attention) ? "streaming" : "full")}"));
        }

        if (config.Streaming is { } streaming)
        {
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{streaming.AttentionLayers.Count} of {config.NumAttentions} attentions are streaming: {streaming.SinkBlocks} first and {streaming.LocalBlocks} latest blocks of {streaming.BlockSize}, at most {streaming.Span} tokens of {config.MaxPositions}"));
        }
    }
}
