namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>What two answers are compared by, where the caller has no better way.</summary>
internal static class AnswerKey
{
    /// <summary>The last <c>\boxed{…}</c>, braces within it counted, or the whole answer; null where there is nothing.</summary>
    public static string? Of(string answer)
    {
        const string Mark = "\\boxed{";
        int start = answer.LastIndexOf(Mark, StringComparison.Ordinal);
        string key = answer;
        if (start >= 0)
        {
            start += Mark.Length;
            int depth = 1, end = start;
            while (end < answer.Length && (depth += answer[end] switch { '{' => 1, '}' => -1, _ => 0 }) > 0)
            {
                end++;
            }

            key = answer[start..end];
        }

        key = string.Join(' ', key.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).ToUpperInvariant();
        return key.Length == 0 ? null : key;
    }
}
