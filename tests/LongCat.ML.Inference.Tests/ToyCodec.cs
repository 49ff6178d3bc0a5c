using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference.Tests;

/// <summary>One token for each character from space (0) to backslash (60); the decoder holds every second token back to look like split characters.</summary>
internal sealed class ToyCodec : ITextCodec
{
    public static string Text(IEnumerable<int> ids) => string.Concat(ids.Select(id => (char)(' ' + id)));

    public IReadOnlyList<int> Encode(string text) => [.. text.Select(character => character - ' ')];

    public ITextDecoder CreateDecoder(bool specialTokens) => new Decoder();

    private sealed class Decoder : ITextDecoder
    {
        private string _held = "";

        public string Append(int id)
        {
            _held += (char)(' ' + id);
            return _held.Length == 2 ? Flush() : "";
        }

        public string Flush()
        {
            string text = _held;
            _held = "";
            return text;
        }
    }
}
