namespace Microsoft.ML.Tokenizers;

/// <summary>What an encoding gave: ids or tokens, the normalized text (null where nothing normalizes), and the characters used up.</summary>
public struct EncodeResults<T>
{
    public IReadOnlyList<T> Tokens { get; set; }

    public string? NormalizedText { get; set; }

    public int CharsConsumed { get; set; }
}
