using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Tests.ZigZag;

/// <summary>Texts that a model itself says: its own weights and masks are then the best explanation of them.</summary>
internal static class SampledTexts
{
    /// <param name="model">The model that speaks.</param>
    /// <param name="count">Texts.</param>
    /// <param name="length">Tokens of each.</param>
    /// <param name="sharpness">What logits are multiplied by before a token is drawn: the larger, the surer the texts.</param>
    /// <param name="seed">Seed.</param>
    public static List<TrainingExample> Draw(CausalLanguageModel model, int count, int length, float sharpness, int seed)
    {
        var random = new Random(seed);
        int vocabulary = model.Config.VocabSize;
        var rows = new long[count][];
        for (int row = 0; row < count; row++)
        {
            rows[row] = [1, random.Next(3, vocabulary), random.Next(3, vocabulary)];
        }

        using var frozen = no_grad();
        for (int at = 3; at < length; at++)
        {
            using var scope = NewDisposeScope();
            using var batch = new SequenceBatch([.. rows.SelectMany(row => row)], count, at);
            var last = model.Forward(batch).Hidden.view(count, at, -1).select(1, at - 1);
            float[] probabilities = model.Logits(last).mul(sharpness).softmax(-1).data<float>().ToArray();
            for (int row = 0; row < count; row++)
            {
                // Special tokens have no place in a text; what is drawn for them goes to the last token.
                double left = random.NextDouble();
                int id = 3;
                while (id < vocabulary - 1 && (left -= probabilities[(row * vocabulary) + id]) > 0)
                {
                    id++;
                }

                rows[row] = [.. rows[row], id];
            }
        }

        return [.. rows.Select((row, i) => new TrainingExample([.. row.Select(id => (int)id)], [.. row.Select((_, t) => t > 0)]) { Source = i + 1 })];
    }
}
