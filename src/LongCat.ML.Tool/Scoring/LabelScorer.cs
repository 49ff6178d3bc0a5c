using System.Text.Json.Nodes;
using LongCat.ML.Inference;

namespace LongCat.ML.Tool.Scoring;

/// <summary>
/// Adds <c>label</c> and <c>scores</c>: each label is a continuation of the text, and the scores are the softmax of the labels' mean
/// log-likelihoods per token, so that a long label is not at a disadvantage.
/// </summary>
internal sealed class LabelScorer(InferenceEngine engine, string column, IReadOnlyList<string> labels, PromptOverflow overflow)
    : RowScorer(engine, column)
{
    public override async Task ScoreAsync(JsonObject row, CancellationToken cancellationToken)
    {
        string? text = Text(row);
        if (string.IsNullOrEmpty(text))
        {
            row["label"] = null;
            row["scores"] = null;
            return;
        }

        ScoreResult[] results = await Task.WhenAll(labels.Select(label => Engine.ScoreAsync(
            new ScoreRequest { Prompt = text, Continuation = label, Overflow = overflow }, cancellationToken))).ConfigureAwait(false);
        double[] means = [.. results.Select(result => result.LogLikelihood / Math.Max(result.Tokens, 1))];
        double top = means.Max();
        double sum = means.Sum(mean => Math.Exp(mean - top));
        row["label"] = labels[Array.IndexOf(means, top)];
        JsonObject scores = [];
        for (int i = 0; i < labels.Count; i++)
        {
            scores[labels[i]] = Math.Exp(means[i] - top) / sum;
        }

        row["scores"] = scores;
    }
}
