namespace Microsoft.ML.Tokenizers;

/// <summary>How to encode. The two switches are off in a fresh value; the token limit is not set.</summary>
public struct EncodeSettings
{
    public EncodeSettings()
    {
        MaxTokenCount = int.MaxValue;
    }

    public bool ConsiderNormalization { get; set; }

    public bool ConsiderPreTokenization { get; set; }

    public int MaxTokenCount { get; set; }
}
