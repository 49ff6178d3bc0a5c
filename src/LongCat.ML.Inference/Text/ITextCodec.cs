namespace LongCat.ML.Inference.Text;

/// <summary>What the engine needs of a tokenizer.</summary>
internal interface ITextCodec
{
    /// <summary>The ids of a text, special tokens of the tokenizer's template included.</summary>
    IReadOnlyList<int> Encode(string text);

    /// <summary>A decoder for one completion.</summary>
    /// <param name="specialTokens">Whether it writes special tokens out or leaves them out.</param>
    ITextDecoder CreateDecoder(bool specialTokens);
}
