using System.Globalization;
using System.Text;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>The wording in which candidates are put before a summary.</summary>
public static class HeavyThinkingPrompt
{
    /// <summary>Makes the prompt of a summary.</summary>
    /// <param name="request">What the user asked last; empty where the chat ends with something else.</param>
    /// <param name="answers">The candidates' answers, without their thoughts.</param>
    /// <returns>The prompt.</returns>
    public static string Create(string request, IReadOnlyList<string> answers)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(answers);
        StringBuilder text = new();
        text.Append("Several thinkers worked on the same request, each alone. Their answers follow in no particular order. Any of them may be wrong, even one that most of them gave.\n\n");
        if (request.Length > 0)
        {
            text.Append("# Request\n").Append(request).Append("\n\n");
        }

        for (int i = 0; i < answers.Count; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"# Thinker {i + 1}\n").Append(answers[i]).Append("\n\n");
        }

        text.Append(
            "# End of the answers\nCompare them: where they agree, check why they would be right; where they differ, find the step that decides and work it out. "
            + "Then answer the request yourself, in the language and form that it asks for, as if nobody had answered before: do not speak of the thinkers. "
            + "Where they give a final result in \\boxed{}, give yours in \\boxed{} too.");
        return text.ToString();
    }
}
