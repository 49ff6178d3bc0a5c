using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Replies;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>The constraints of the schemas that callers ask for, kept for the next request with the same one. Thread-safe.</summary>
internal sealed class ConstraintCache(HuggingFaceTokenizer tokenizer)
{
    private const int Most = 32;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, OutputConstraint> _known = new(StringComparer.Ordinal);

    /// <summary>The constraint of a schema; any JSON object where there is none.</summary>
    /// <exception cref="InferenceException">The schema is malformed or uses what is not supported, or the tokenizer is of a kind that cannot be constrained.</exception>
    public OutputConstraint Get(JsonElement? schema) =>
        Get("json " + (schema?.GetRawText() ?? ""), () => schema is { } given ? OutputConstraint.JsonSchema(given, tokenizer) : OutputConstraint.Json(tokenizer));

    /// <summary>The constraint to calls of some tools; see <see cref="ToolCallConstraint.Create"/>.</summary>
    public OutputConstraint GetCalls(ReplyFormat format, IReadOnlyList<(string Name, JsonElement Schema)> tools, bool several) => Get(
        $"calls {several} {string.Join(' ', tools.Select(tool => $"{tool.Name} {(tool.Schema.ValueKind == JsonValueKind.Undefined ? "" : tool.Schema.GetRawText())}"))}",
        () => ToolCallConstraint.Create(tokenizer, format, tools, several));

    private OutputConstraint Get(string key, Func<OutputConstraint> make)
    {
        lock (_lock)
        {
            if (!_known.TryGetValue(key, out OutputConstraint? constraint))
            {
                if (_known.Count == Most)
                {
                    _known.Clear();
                }

                _known[key] = constraint = make();
            }

            return constraint;
        }
    }
}
