using Microsoft.ML.Data;

namespace QuickStart;

/// <summary>An API member: the prompts made of its documentation, and what the documentation says.</summary>
internal sealed class ApiRow
{
    public string Member { get; set; } = "";

    /// <summary>The signature as it stands: the tuned model names the namespace group.</summary>
    public string Declaration { get; set; } = "";

    /// <summary>The signature as a prompt: the model writes the summary.</summary>
    public string Signature { get; set; } = "";

    /// <summary>Signature and summary: the model names the namespace.</summary>
    public string Documentation { get; set; } = "";

    public string TrueSummary { get; set; } = "";

    public string TrueGroup { get; set; } = "";
}

/// <summary>What the pipeline adds.</summary>
internal sealed class ScoredRow
{
    public string Member { get; set; } = "";

    public string Summary { get; set; } = "";

    public string TrueSummary { get; set; } = "";

    public string TrueGroup { get; set; } = "";

    /// <summary>A key: 1 is the first label, 0 is missing.</summary>
    public uint PredictedLabel { get; set; }

    [VectorType]
    public float[] Score { get; set; } = [];
}
