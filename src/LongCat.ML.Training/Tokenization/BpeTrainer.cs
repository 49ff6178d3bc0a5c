using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.Training.Tokenization;

/// <summary>
/// Learns a byte-level byte-pair encoding (Sennrich et al., 2016, section 3.2, over bytes as in GPT-2): starting from the 256 bytes, the most
/// frequent adjacent pair within the pieces becomes a new token, again and again. Ties go to the pair with the smaller ids, so the result depends
/// on the texts alone, not on their order.
/// </summary>
/// <remarks>Memory grows with the number of distinct pieces, not with the length of the texts. Thread-safe; one call uses one thread.</remarks>
public static class BpeTrainer
{
    /// <summary>Learns a vocabulary.</summary>
    /// <param name="texts">The texts to learn from; enumerated once.</param>
    /// <param name="options">What to make; null takes the defaults.</param>
    /// <returns>The vocabulary and its merges, ready to be saved.</returns>
    /// <exception cref="ArgumentException">The options contradict one another; the message names the option, its value and what is expected.</exception>
    public static TrainedBpe Train(IEnumerable<string> texts, BpeTrainerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(texts);
        options ??= new BpeTrainerOptions();
        Check(options);
        MergeLearner learner = new(CountPieces(texts, options.Pattern), options.SpecialTokens.Count);
        int merges = options.VocabularySize - options.SpecialTokens.Count - 256;
        return new TrainedBpe(options, learner.Learn(merges, options.MinimumFrequency));
    }

    private static void Check(BpeTrainerOptions options)
    {
        int least = options.SpecialTokens.Count + 256;
        if (options.VocabularySize < least)
        {
            throw new ArgumentException(
                $"{nameof(options.VocabularySize)} is {options.VocabularySize}; the {options.SpecialTokens.Count} special tokens and the 256 bytes need at least {least}.", nameof(options));
        }

        if (options.MinimumFrequency < 1)
        {
            throw new ArgumentException($"{nameof(options.MinimumFrequency)} is {options.MinimumFrequency}; it must be 1 or more.", nameof(options));
        }

        if (options.SpecialTokens.FirstOrDefault(string.IsNullOrEmpty) is not null || options.SpecialTokens.Distinct(StringComparer.Ordinal).Count() != options.SpecialTokens.Count)
        {
            throw new ArgumentException($"{nameof(options.SpecialTokens)} holds an empty or a repeated token; all must differ.", nameof(options));
        }

        foreach (string? token in new[] { options.BeginOfText, options.EndOfText, options.Padding, options.Unknown })
        {
            if (token is not null && !options.SpecialTokens.Contains(token, StringComparer.Ordinal))
            {
                throw new ArgumentException($"The token `{token}` is not among {nameof(options.SpecialTokens)}; add it there.", nameof(options));
            }
        }
    }

    private static List<(byte[] Bytes, int Count)> CountPieces(IEnumerable<string> texts, string pattern)
    {
        Regex regex = new(pattern, RegexOptions.Compiled | RegexOptions.CultureInvariant);
        Dictionary<string, int> counts = new(StringComparer.Ordinal);
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (string text in texts)
        {
            int end = 0;
            foreach (ValueMatch match in regex.EnumerateMatches(text))
            {
                Count(lookup, text.AsSpan(end, match.Index - end));
                Count(lookup, text.AsSpan(match.Index, match.Length));
                end = match.Index + match.Length;
            }

            Count(lookup, text.AsSpan(end));
        }

        // Ordered so that nothing depends on the order of the texts.
        return [.. counts.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => (Encoding.UTF8.GetBytes(entry.Key), entry.Value))];
    }

    private static void Count(Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> counts, ReadOnlySpan<char> piece)
    {
        if (piece.Length > 0)
        {
            counts.TryGetValue(piece, out int count);
            counts[piece] = count + 1;
        }
    }
}
