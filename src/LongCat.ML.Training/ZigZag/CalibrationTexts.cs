using LongCat.ML.Checkpoints;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.ZigZag;

/// <summary>Texts as a calibration reads them: cut to a row's length, with those tokens as targets whose prediction depends on α.</summary>
internal static class CalibrationTexts
{
    /// <summary>The length of a packed row.</summary>
    /// <exception cref="FineTuningException">The model or the rows are too short for the pattern.</exception>
    public static int Columns(ModelConfig config, StreamingAttentionConfig pattern, int? given)
    {
        int shortest = pattern.Span + 2;
        if (config.MaxPositions < shortest)
        {
            throw new FineTuningException(
                $"the model's longest sequence is {config.MaxPositions}, the pattern's span is {pattern.Span} tokens ({pattern.SinkBlocks} + {pattern.LocalBlocks} blocks of {pattern.BlockSize}): up to the span nothing tells the patterns apart; choose smaller or fewer blocks, or extend the context first");
        }

        if (given < shortest)
        {
            throw new FineTuningException(
                $"Columns is {given}, the pattern's span is {pattern.Span} tokens ({pattern.SinkBlocks} + {pattern.LocalBlocks} blocks of {pattern.BlockSize}): up to the span nothing tells the patterns apart; expected {shortest} or more, best twice the span");
        }

        return given ?? (int)Math.Min(config.MaxPositions, Math.Max(shortest, 2L * pattern.Span));
    }

    /// <summary>
    /// The pieces of texts that tell the patterns apart. A query up to the span sees the same keys in both, so its loss says nothing of α and is left out; so are pieces without any other query.
    /// </summary>
    /// <param name="texts">The texts.</param>
    /// <param name="what">What they are called in messages.</param>
    /// <param name="pattern">The pattern.</param>
    /// <param name="columns">The most tokens of a piece.</param>
    /// <exception cref="FineTuningException">No text is longer than the span.</exception>
    public static List<TrainingExample> Pieces(IEnumerable<TrainingExample> texts, string what, StreamingAttentionConfig pattern, int columns)
    {
        List<TrainingExample> pieces = [];
        int longest = 0, count = 0;
        foreach (var text in texts)
        {
            count++;
            longest = Math.Max(longest, text.Ids.Length);
            for (int start = 0; start < text.Ids.Length; start += columns)
            {
                int length = Math.Min(columns, text.Ids.Length - start), first = start;

                // Token i is predicted by the query at i - 1, whose position counts from the piece's start.
                bool[] targets = [.. Enumerable.Range(0, length).Select(i => i > pattern.Span && text.Trainable[first + i])];
                if (targets.Contains(true))
                {
                    pieces.Add(new TrainingExample(text.Ids[start..(start + length)], targets) { Source = text.Source });
                }
            }
        }

        return pieces.Count > 0 ? pieces : throw new FineTuningException(
            $"the {what} texts are too short to tell the patterns apart: the longest of {count} has {longest} tokens, the pattern's span is {pattern.Span} ({pattern.SinkBlocks} + {pattern.LocalBlocks} blocks of {pattern.BlockSize}), and up to it streaming attention sees what full attention sees; give texts of {pattern.Span + 2} tokens and more, best twice the span, or choose smaller blocks");
    }
}
