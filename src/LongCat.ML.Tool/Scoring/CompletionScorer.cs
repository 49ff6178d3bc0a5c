using System.Text.Json.Nodes;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.Tool.Scoring;

/// <summary>Adds <c>completion</c>, <c>finish_reason</c> and <c>completion_tokens</c>; an empty text gets an empty completion.</summary>
internal sealed class CompletionScorer(InferenceEngine engine, string column, AdapterSelection adapters, GenerationOptions options) : RowScorer(engine, column, adapters)
{
    public override async Task ScoreAsync(JsonObject row, CancellationToken cancellationToken)
    {
        string? text = Text(row);
        if (string.IsNullOrEmpty(text))
        {
            row["completion"] = "";
            row["finish_reason"] = "stop";
            row["completion_tokens"] = 0;
            return;
        }

        GenerationResult result = await Engine.GenerateAsync(new GenerationRequest { Prompt = text, Adapter = Adapter(row), Options = options }, cancellationToken).ConfigureAwait(false);
        row["completion"] = result.Text;
        row["finish_reason"] = result.FinishReason.ToString().ToLowerInvariant();
        row["completion_tokens"] = result.Ids.Count;
    }
}
