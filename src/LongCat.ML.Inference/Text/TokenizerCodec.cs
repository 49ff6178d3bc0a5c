using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Text;

/// <summary>The tokenizer of the model folder.</summary>
internal sealed class TokenizerCodec(HuggingFaceTokenizer tokenizer) : ITextCodec
{
    public HuggingFaceTokenizer Tokenizer => tokenizer;

    public IReadOnlyList<int> Encode(string text) => tokenizer.Encode(text);

    public ITextDecoder CreateDecoder(bool specialTokens) => new Decoder(tokenizer.CreateStreamingDecoder(skipSpecialTokens: !specialTokens));

    private sealed class Decoder(StreamingDecoder decoder) : ITextDecoder
    {
        public string Append(int id) => decoder.Append(id);

        public string Flush() => decoder.Flush();
    }
}
