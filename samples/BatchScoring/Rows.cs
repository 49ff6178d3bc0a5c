using System.Text.Json.Serialization;
using Microsoft.ML.Data;

namespace BatchScoring;

/// <summary>A line of the input.</summary>
internal sealed class ApiRow
{
    [JsonPropertyName("member")]
    public string Member { get; set; } = "";

    [JsonPropertyName("signature")]
    public string Signature { get; set; } = "";

    [JsonPropertyName("summary")]
    public string Summary { get; set; } = "";
}

/// <summary>What is read off the pipeline for each row.</summary>
internal sealed class ScoredRow
{
    public string Member { get; set; } = "";

    public string Completion { get; set; } = "";

    /// <summary>The label's text, made from the key by MapKeyToValue; empty for a row that could not be classified.</summary>
    public string Namespace { get; set; } = "";

    [VectorType]
    public float[] Score { get; set; } = [];
}

/// <summary>A line of the output.</summary>
internal sealed record ResultRow(
    [property: JsonPropertyName("member")] string Member,
    [property: JsonPropertyName("completion")] string Completion,
    [property: JsonPropertyName("namespace")] string Namespace,
    [property: JsonPropertyName("probability")] double Probability);
