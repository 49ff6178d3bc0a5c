namespace LongCat.ML.Inference.Text;

/// <summary>Finds the first stop string in a growing text, and holds text back as long as it may be the beginning of one. Ordinal comparison.</summary>
internal sealed class StopStringMatcher(IReadOnlyList<string> stops)
{
    private string _held = "";

    /// <summary>Whether a stop string was reached; nothing is given out after that.</summary>
    public bool Matched { get; private set; }

    /// <summary>Adds text and returns what can no longer belong to a stop string.</summary>
    public string Append(string text)
    {
        if (Matched || (text.Length == 0 && _held.Length == 0))
        {
            return "";
        }

        string pending = _held + text;
        int first = -1;
        foreach (string stop in stops)
        {
            int index = pending.IndexOf(stop, StringComparison.Ordinal);
            if (index >= 0 && (first < 0 || index < first))
            {
                first = index;
            }
        }

        if (first >= 0)
        {
            Matched = true;
            _held = "";
            return pending[..first];
        }

        int held = 0;
        foreach (string stop in stops)
        {
            for (int length = Math.Min(stop.Length - 1, pending.Length); length > held; length--)
            {
                if (pending.AsSpan(pending.Length - length).SequenceEqual(stop.AsSpan(0, length)))
                {
                    held = length;
                }
            }
        }

        _held = pending[(pending.Length - held)..];
        return pending[..(pending.Length - held)];
    }

    /// <summary>The text still held back, when the completion ended otherwise.</summary>
    public string Flush()
    {
        string rest = _held;
        _held = "";
        return rest;
    }
}
