using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>How a model does on rows.</summary>
/// <param name="Loss">Mean cross-entropy of a token of a completion, in nats.</param>
/// <param name="TokenAccuracy">The share of these tokens that the model names first.</param>
/// <param name="ExactAccuracy">The share of rows of which every token is: greedy decoding would write exactly this completion and end.</param>
internal sealed record StudyFigures(double Loss, double TokenAccuracy, double ExactAccuracy);

/// <summary>Measures completions without the trainer: rows are packed one after another, and the tokens behind each prompt count.</summary>
internal static class StudyEvaluation
{
    private const int Rows = 8;

    /// <summary>Measures a model.</summary>
    /// <param name="model">The model, with whatever is attached to it.</param>
    /// <param name="documents">Ids of prompt and completion, and where the completion begins.</param>
    /// <param name="columns">Tokens of a packed row; no document is longer.</param>
    public static StudyFigures Run(CausalLanguageModel model, IReadOnlyList<(int[] Ids, int First)> documents, int columns)
    {
        double loss = 0;
        long tokens = 0, named = 0;
        int exact = 0;
        foreach ((_, double logLikelihood, int right, int count) in Each(model, documents, columns))
        {
            loss -= logLikelihood;
            tokens += count;
            named += right;
            exact += right == count ? 1 : 0;
        }

        return new StudyFigures(loss / tokens, named / (double)tokens, exact / (double)documents.Count);
    }

    /// <summary>The log-likelihood of each document's completion, and how many of its tokens are the model's first choice.</summary>
    public static IEnumerable<(int Document, double LogLikelihood, int Named, int Tokens)> Each(CausalLanguageModel model, IReadOnlyList<(int[] Ids, int First)> documents, int columns)
    {
        foreach (List<(int Document, int Row, int Column)> places in Packed(documents, columns))
        {
            long[] ids = new long[Rows * columns];
            int[] starts = [.. Enumerable.Range(0, ids.Length).Select(i => i % columns)];
            List<long> positions = [], targets = [];
            foreach ((int document, int row, int column) in places)
            {
                (int[] tokens, int first) = documents[document];
                for (int i = 0; i < tokens.Length; i++)
                {
                    int at = (row * columns) + column + i;
                    ids[at] = tokens[i];
                    starts[at] = column;
                    if (i >= first)
                    {
                        positions.Add(at - 1);
                        targets.Add(tokens[i]);
                    }
                }
            }

            float[] likelihoods;
            long[] choices;
            using (no_grad())
            using (NewDisposeScope())
            {
                using SequenceBatch batch = new(ids, Rows, columns, starts);
                Tensor logits = model.Logits(model.Forward(batch).Hidden.index_select(0, tensor(positions.ToArray())));
                Tensor wanted = tensor(targets.ToArray()).unsqueeze(1);
                likelihoods = MemoryMarshal.Cast<byte, float>(logits.log_softmax(1).gather(1, wanted).bytes).ToArray();
                choices = MemoryMarshal.Cast<byte, long>(logits.argmax(1).bytes).ToArray();
            }

            int read = 0;
            foreach ((int document, _, _) in places)
            {
                int count = documents[document].Ids.Length - documents[document].First, named = 0;
                double sum = 0;
                for (int end = read + count; read < end; read++)
                {
                    sum += likelihoods[read];
                    named += choices[read] == targets[read] ? 1 : 0;
                }

                yield return (document, sum, named, count);
            }
        }
    }

    /// <summary>First fit, batch by batch.</summary>
    private static IEnumerable<List<(int Document, int Row, int Column)>> Packed(IReadOnlyList<(int[] Ids, int First)> documents, int columns)
    {
        List<(int, int, int)> places = [];
        int[] filled = new int[Rows];
        for (int i = 0; i < documents.Count; i++)
        {
            int length = documents[i].Ids.Length, row = Array.FindIndex(filled, used => used + length <= columns);
            if (row < 0)
            {
                yield return places;
                places = [];
                Array.Clear(filled);
                row = 0;
            }

            places.Add((i, row, filled[row]));
            filled[row] += length;
        }

        yield return places;
    }
}
