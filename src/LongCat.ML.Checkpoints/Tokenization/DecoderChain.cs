using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Tokens on their way to text, one by one: a step passes on what can no longer change and holds the rest back. All that comes out, put together, equals what
/// the reference makes of all tokens at once. Not thread-safe.
/// </summary>
internal sealed class DecoderChain
{
    private readonly DecoderStep[] _steps;
    private readonly StringBuilder _text = new();

    public DecoderChain(DecoderStep[] steps)
    {
        _steps = steps;
        for (int i = 0; i < steps.Length; i++)
        {
            steps[i].Next = i + 1 < steps.Length ? steps[i + 1].Append : (text, _) => _text.Append(text);
        }
    }

    /// <summary>Whether anything is held back.</summary>
    public bool HoldsBack => Array.Exists(_steps, step => step.HoldsBack);

    /// <summary>Takes a token and gives the text that is now certain.</summary>
    public string Append(string token)
    {
        if (_steps.Length == 0)
        {
            return token;
        }

        _steps[0].Append(token, true);
        return Take();
    }

    /// <summary>Ends the tokens, gives the rest of the text, and is ready for others.</summary>
    public string Flush()
    {
        foreach (DecoderStep step in _steps)
        {
            step.Flush();
        }

        return Take();
    }

    private string Take()
    {
        string text = _text.ToString();
        _text.Clear();
        return text;
    }
}
