using System.Text.Json;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>The constraints of the schemas that callers ask for, kept for the next request with the same one. Thread-safe.</summary>
internal sealed class ConstraintCache(HuggingFaceTokenizer tokenizer)
{
    private const int Most = 32;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, OutputConstraint> _known = new(StringComparer.Ordinal);

    /// <summary>The constraint of a schema; any JSON object where there is none.</summary>
    /// <exception cref="InferenceException">The schema is malformed or uses what is not supported, or the tokenizer is of a kind that cannot be constrained.</exception>
    public OutputConstraint Get(JsonElement? schema)
    {
        string key = schema?.GetRawText() ?? "";
        lock (_lock)
        {
            if (!_known.TryGetValue(key, out OutputConstraint? constraint))
            {
                if (_known.Count == Most)
                {
                    _known.Clear();
                }

                _known[key] = constraint = schema is { } given ? OutputConstraint.JsonSchema(given, tokenizer) : OutputConstraint.Json(tokenizer);
            }

            return constraint;
        }
    }
}
