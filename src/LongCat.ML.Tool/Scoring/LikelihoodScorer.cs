using System.Text.Json.Nodes;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.Tool.Scoring;

/// <summary>
/// Adds <c>log_likelihood</c> (natural log, summed), <c>tokens</c> and <c>perplexity</c> of the continuation given the text, or of the
/// whole text when no continuation column was named. A text without a token to score gets null.
/// </summary>
internal sealed class LikelihoodScorer(InferenceEngine engine, string column, AdapterSelection adapters, string? continuationColumn, PromptOverflow overflow)
    : RowScorer(engine, column, adapters)
{
    public override async Task ScoreAsync(JsonObject row, CancellationToken cancellationToken)
    {
        string? text = Text(row);
        string? continuation = continuationColumn is null ? text : Text(row, continuationColumn);
        if (string.IsNullOrEmpty(continuation))
        {
            row["log_likelihood"] = null;
            row["tokens"] = 0;
            row["perplexity"] = null;
            return;
        }

        ScoreResult result = await Engine.ScoreAsync(
            new ScoreRequest { Prompt = continuationColumn is null ? "" : text ?? "", Continuation = continuation, Overflow = overflow, Adapter = Adapter(row) },
            cancellationToken).ConfigureAwait(false);
        row["log_likelihood"] = result.LogLikelihood;
        row["tokens"] = result.Tokens;
        row["perplexity"] = result.Tokens == 0 ? null : Math.Exp(-result.LogLikelihood / result.Tokens);
    }
}
