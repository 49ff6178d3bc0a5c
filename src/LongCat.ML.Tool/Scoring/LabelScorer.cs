using System.Text.Json.Nodes;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.Tool.Scoring;

/// <summary>
/// Adds <c>label</c> and <c>scores</c>, as ML.NET's Classify step does: a space and the label are scored as a continuation of the text, and the scores are the
/// softmax of the log-likelihoods, divided by the label's token count when asked for.
/// </summary>
internal sealed class LabelScorer(
    InferenceEngine engine, string column, AdapterSelection adapters, IReadOnlyList<string> labels, bool normalizeByLength, PromptOverflow overflow)
    : RowScorer(engine, column, adapters)
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

        string? adapter = Adapter(row);
        ScoreResult[] results = await Task.WhenAll(labels.Select(label => Engine.ScoreAsync(
            new ScoreRequest { Prompt = text, Continuation = " " + label, Overflow = overflow, Adapter = adapter }, cancellationToken))).ConfigureAwait(false);
        double[] likelihoods = [.. results.Select(result => normalizeByLength ? result.LogLikelihood / Math.Max(result.Tokens, 1) : result.LogLikelihood)];
        double top = likelihoods.Max();
        double sum = likelihoods.Sum(value => Math.Exp(value - top));
        row["label"] = labels[Array.IndexOf(likelihoods, top)];
        JsonObject scores = [];
        for (int i = 0; i < labels.Count; i++)
        {
            scores[labels[i]] = Math.Exp(likelihoods[i] - top) / sum;
        }

        row["scores"] = scores;
    }
}
