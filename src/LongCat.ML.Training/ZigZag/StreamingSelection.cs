using LongCat.ML.Checkpoints;
using LongCat.ML.Training.Data;

namespace LongCat.ML.Training.ZigZag;

/// <summary>Chooses which attentions become streaming.</summary>
/// <remarks>Whole attentions are chosen, no single heads, as LoZA does (2512.23966).</remarks>
public static class StreamingSelection
{
    /// <summary>The attentions of a model that may become streaming: those that see all of the context.</summary>
    /// <param name="config">The model's settings.</param>
    /// <returns>Their indices as caches count them, ascending; without those that are streaming already or have a sliding window, whose cost does not grow with the context.</returns>
    public static IReadOnlyList<int> Candidates(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return [.. Enumerable.Range(0, config.NumAttentions).Where(attention => config.Streaming?.IsStreaming(attention) != true && (config as DecoderConfig)?.Window(attention) is null)];
    }

    /// <summary>An attention's path in the checkpoint.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="attention">The attention as caches count them.</param>
    /// <returns>For instance <c>model.layers.3.self_attn.1</c>.</returns>
    public static string Module(ModelConfig config, int attention)
    {
        ArgumentNullException.ThrowIfNull(config);
        return config is LongcatFlashConfig ? $"model.layers.{attention / 2}.self_attn.{attention % 2}" : $"model.layers.{attention}.self_attn";
    }

    /// <summary>Chooses by α.</summary>
    /// <param name="alphas">What a calibration found.</param>
    /// <param name="share">The share of them to choose, above 0, up to 1; a part of an attention is left full.</param>
    /// <returns>The chosen attentions, ascending.</returns>
    /// <exception cref="ArgumentException">The share is out of range or less than one attention, or an α is not finite.</exception>
    public static IReadOnlyList<int> Lowest(IReadOnlyList<AttentionAlpha> alphas, double share)
    {
        ArgumentNullException.ThrowIfNull(alphas);
        if (alphas.FirstOrDefault(entry => !double.IsFinite(entry.Alpha)) is { } wrong)
        {
            throw new ArgumentException(FormattableString.Invariant($"alpha of attention {wrong.Attention} is {wrong.Alpha}, expected a finite number"), nameof(alphas));
        }

        return [.. alphas.OrderBy(entry => entry.Alpha).ThenBy(entry => entry.Attention).Take(Count(alphas.Count, share)).Select(entry => entry.Attention).Order()];
    }

    /// <summary>Chooses without a calibration.</summary>
    /// <param name="candidates">The attentions to choose from, ascending.</param>
    /// <param name="share">The share of them to choose, above 0, up to 1; a part of an attention is left full.</param>
    /// <param name="choice">How, other than <see cref="StreamingChoice.Lowest"/>.</param>
    /// <param name="seed">The seed of <see cref="StreamingChoice.Random"/>.</param>
    /// <returns>The chosen attentions, ascending.</returns>
    /// <exception cref="ArgumentException">The share is out of range or less than one attention, or the choice needs a calibration.</exception>
    public static IReadOnlyList<int> Choose(IReadOnlyList<int> candidates, double share, StreamingChoice choice, ulong seed = 1)
    {
        ArgumentNullException.ThrowIfNull(candidates);
        int count = Count(candidates.Count, share);
        switch (choice)
        {
            case StreamingChoice.Alternate:
                return [.. Enumerable.Range(0, count).Select(i => candidates[(int)((i + 0.5) * candidates.Count / count)])];
            case StreamingChoice.Random:
                int[] shuffled = [.. candidates];
                SeededShuffle.Shuffle<int>(shuffled, seed);
                return [.. shuffled.Take(count).Order()];
            case StreamingChoice.First:
                return [.. candidates.Take(count)];
            case StreamingChoice.Last:
                return [.. candidates.TakeLast(count)];
            default:
                throw new ArgumentException($"the choice is {choice}, expected {StreamingChoice.Alternate}, {StreamingChoice.Random}, {StreamingChoice.First} or {StreamingChoice.Last}: the lowest are chosen from what a calibration found", nameof(choice));
        }
    }

    private static int Count(int candidates, double share)
    {
        if (!(share is > 0 and <= 1))
        {
            throw new ArgumentException(FormattableString.Invariant($"the share is {share}, expected a number above 0, up to 1"), nameof(share));
        }

        // A product such as 0.7 · 10 may lie a little below the whole number that is meant.
        int count = (int)Math.Floor((share * candidates) + 1e-9);
        return count > 0 ? count : throw new ArgumentException(
            candidates == 0
                ? "there is no attention to choose from: each of the model's is streaming already or has a sliding window"
                : FormattableString.Invariant($"the share is {share}, which of {candidates} attentions is less than one: expected {1.0 / candidates:0.###} or more"),
            nameof(share));
    }
}
