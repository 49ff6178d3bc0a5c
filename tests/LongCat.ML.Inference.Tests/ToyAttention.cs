using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Tests;

/// <summary>What the toy model's attentions see: everything before a token (a full attention), what a streaming pattern leaves of it, or both.</summary>
internal sealed record ToyAttention(bool HasFull, StreamingPattern? Streaming)
{
    public static readonly ToyAttention Full = new(true, null);

    /// <summary>"full", "block/sink/local", or both in one text.</summary>
    public static ToyAttention Parse(string text, int pageSize)
    {
        string[] parts = text.Split(' ');
        int[] pattern = parts[^1] == "full" ? [] : [.. parts[^1].Split('/').Select(int.Parse)];
        return new ToyAttention(parts[0] == "full", pattern.Length == 0 ? null : new StreamingPattern(pattern[0], pattern[1], pattern[2], pageSize));
    }

    /// <summary>An adapter changes what every token means: the states after the same tokens are others.</summary>
    public static ulong Start(int adapter) => adapter < 0 ? 0 : Mix((ulong)adapter + 1000);

    /// <summary>The state of a token, which its logits and hidden state are made of.</summary>
    /// <param name="token">Its id.</param>
    /// <param name="seen">What a full attention sees of the tokens before it: the state of the last of them.</param>
    /// <param name="position">Where it is.</param>
    /// <param name="read">Gives the state of an earlier token that a streaming attention sees.</param>
    public ulong State(int token, ulong seen, int position, Func<int, ulong> read)
    {
        ulong window = 0;
        for (int earlier = 0; Streaming is not null && earlier < position; earlier++)
        {
            if (Streaming.Visible(position, earlier))
            {
                window = Mix(window + read(earlier) + 1);
            }
        }

        return Mix(seen + window + (ulong)token + 1);
    }

    /// <summary>The states of a list of tokens, computed without caches.</summary>
    public IReadOnlyList<ulong> States(IEnumerable<int> tokens, int adapter)
    {
        List<ulong> states = [];
        ulong seen = Start(adapter);
        foreach (int token in tokens)
        {
            ulong state = State(token, seen, states.Count, earlier => states[earlier]);
            states.Add(state);
            seen = HasFull ? state : seen;
        }

        return states;
    }

    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9UL;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EBUL;
        return value ^ (value >> 31);
    }
}
