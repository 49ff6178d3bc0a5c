namespace LongCat.ML.Inference.Text;

/// <summary>Turns a growing list of tokens into text; never gives out half a character.</summary>
internal interface ITextDecoder
{
    /// <summary>The text that became certain with a token; may be empty.</summary>
    string Append(int id);

    /// <summary>What is still held back.</summary>
    string Flush();
}
