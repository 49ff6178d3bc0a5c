using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.Tool.Scoring;

/// <summary>Adds a mode's results to a row. Safe for many rows at once.</summary>
internal abstract class RowScorer(InferenceEngine engine, string column, AdapterSelection adapters)
{
    protected InferenceEngine Engine { get; } = engine;

    public abstract Task ScoreAsync(JsonObject row, CancellationToken cancellationToken);

    /// <summary>The name of the row's adapter; null for the model alone.</summary>
    protected string? Adapter(JsonObject row) => adapters.Column is null ? adapters.Use : Text(row, adapters.Column) is { Length: > 0 } name ? name : null;

    /// <summary>The row's text; null where the field is null, as an empty row is no error.</summary>
    protected string? Text(JsonObject row) => Text(row, column);

    protected static string? Text(JsonObject row, string field)
    {
        if (!row.TryGetPropertyValue(field, out JsonNode? node))
        {
            throw new InvalidDataException($"the row has no field '{field}'; it has {string.Join(", ", row.Select(pair => pair.Key))}");
        }

        return node is null ? null
            : node.GetValueKind() == JsonValueKind.String ? node.GetValue<string>()
            : throw new InvalidDataException($"field '{field}' is {node.GetValueKind()}, expected a string or null");
    }
}
