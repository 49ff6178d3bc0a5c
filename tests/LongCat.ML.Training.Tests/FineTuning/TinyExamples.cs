using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

/// <summary>Examples over the vocabulary of the tiny model: a rule that can be learned, with or without a prompt.</summary>
internal static class TinyExamples
{
    /// <param name="count">Examples.</param>
    /// <param name="prompt">Tokens that are no target, the begin token included.</param>
    /// <param name="length">Tokens at most, 6 or more.</param>
    /// <param name="seed">Seed.</param>
    public static List<TrainingExample> Make(int count, int prompt = 1, int length = 20, int seed = 11)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(row =>
        {
            int[] ids = new int[random.Next(Math.Max(6, prompt + 3), length)];
            ids[0] = 1;
            for (int i = 1; i < ids.Length - 1; i++)
            {
                ids[i] = i == 1 ? random.Next(3, 50) : 3 + (((ids[i - 1] * 7) + 5) % 47);
            }

            ids[^1] = 2;
            return new TrainingExample(ids, [.. ids.Select((_, i) => i >= prompt)]) { Source = row + 1 };
        })];
    }
}
