using System.Runtime.CompilerServices;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Constraints;

/// <summary>
/// The bytes of a tokenizer's tokens in alphabetical order, each with how many bytes it has in common with the one before: walking the automaton along it reads no beginning twice.
/// Immutable; one for each tokenizer.
/// </summary>
internal sealed class TokenTable
{
    private static readonly ConditionalWeakTable<HuggingFaceTokenizer, TokenTable> s_tables = [];

    private TokenTable(HuggingFaceTokenizer tokenizer)
    {
        Tokenizer = tokenizer;
        byte[][] bytes = [.. Enumerable.Range(0, tokenizer.VocabularySize).Select(id => tokenizer.TokenBytes(id).ToArray())];
        Bytes = bytes;
        Added = [.. Enumerable.Range(0, bytes.Length).Where(id => bytes[id].Length > 0 && tokenizer.IsAdded(id))];
        Sorted = [.. Enumerable.Range(0, bytes.Length).Where(id => bytes[id].Length > 0 && !tokenizer.IsAdded(id))];
        Array.Sort(Sorted, (left, right) => bytes[left].AsSpan().SequenceCompareTo(bytes[right]));
        Common = new int[Sorted.Length];
        for (int i = 1; i < Sorted.Length; i++)
        {
            Common[i] = bytes[Sorted[i - 1]].AsSpan().CommonPrefixLength(bytes[Sorted[i]]);
        }

        Longest = Sorted.Length == 0 ? 0 : Sorted.Max(id => bytes[id].Length);
    }

    public HuggingFaceTokenizer Tokenizer { get; }

    /// <summary>The bytes of each id; empty where there is no token.</summary>
    public byte[][] Bytes { get; }

    /// <summary>Ids of added tokens: marks of a format rather than text.</summary>
    public int[] Added { get; }

    /// <summary>Ids of all other tokens in the order of their bytes.</summary>
    public int[] Sorted { get; }

    /// <summary>How many leading bytes an entry of <see cref="Sorted"/> shares with the one before.</summary>
    public int[] Common { get; }

    /// <summary>Bytes of the longest token of <see cref="Sorted"/>.</summary>
    public int Longest { get; }

    /// <exception cref="InferenceException">The tokens are characters rather than bytes.</exception>
    public static TokenTable Of(HuggingFaceTokenizer tokenizer) => tokenizer.IsByteLevel
        ? s_tables.GetValue(tokenizer, static found => new TokenTable(found))
        : throw new InferenceException("constrained output needs a byte-level tokenizer (GPT-2's, Qwen's, Llama 3's, LongCat's kind); this model's tokens are characters (Llama 2's, Mistral's kind). Ask for text.");
}
