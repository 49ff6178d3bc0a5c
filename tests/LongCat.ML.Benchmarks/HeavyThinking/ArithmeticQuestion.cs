using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>The last digit of a sum of one-digit numbers, added and taken away (modulo 10). Its answer can be checked.</summary>
/// <param name="Text">What is asked: <c>7+5-3</c>.</param>
/// <param name="Thought">How one gets there, step by step: <c>7+52-39</c>, a number, its sign and what comes out behind one another.</param>
/// <param name="Answer">The last digits on the way; the last one is the result: <c>2 9</c>.</param>
internal sealed partial record ArithmeticQuestion(string Text, string Thought, string Answer)
{
    /// <summary>The chat template: longcat-nano's tokens of a turn and of thoughts, every reply begins with a thought.</summary>
    public const string Template = """
        {{- '<longcat_s>' }}
        {%- for message in messages %}
            {%- if message.role == 'assistant' %}{{- '<longcat_assistant><longcat_think>' ~ (message.reasoning_content or '') ~ '</longcat_think>' ~ message.content ~ '</longcat_s>' }}
            {%- else %}{{- '<longcat_user>' ~ message.content }}{% endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<longcat_assistant><longcat_think>' }}{% endif %}
        """;

    /// <summary>The right result.</summary>
    public string Result => ResultOf(Answer)!;

    /// <summary>The result that an answer gives: its last digit; null where it gives none.</summary>
    public static string? ResultOf(string answer) => LastDigit().Match(answer) is { Success: true } match ? match.Value : null;

    /// <summary>How a summary is asked for: the question, then the candidates.</summary>
    public static string SummaryOfAnswers(string question, IReadOnlyList<string> answers) => $"{question}|{string.Join('|', answers)}";

    /// <summary>The same with the candidates' results alone.</summary>
    public static string SummaryOfResults(string question, IReadOnlyList<string> answers) => $"{question}|{string.Join('|', answers.Select(answer => ResultOf(answer) ?? "?"))}";

    /// <summary>Different questions, none of which is among others.</summary>
    public static List<ArithmeticQuestion> Make(int count, int terms, Random random, ISet<string> taken)
    {
        List<ArithmeticQuestion> questions = [];
        while (questions.Count < count)
        {
            ArithmeticQuestion question = Make(terms, random);
            if (taken.Add(question.Text))
            {
                questions.Add(question);
            }
        }

        return questions;
    }

    private static ArithmeticQuestion Make(int terms, Random random)
    {
        int total = random.Next(1, 10);
        string first = total.ToString(CultureInfo.InvariantCulture);
        StringBuilder text = new(first), thought = new(first);
        List<int> totals = [];
        for (int i = 1; i < terms; i++)
        {
            int number = random.Next(1, 10);
            bool add = random.Next(2) == 0;
            total = (total + (add ? number : 10 - number)) % 10;
            totals.Add(total);
            text.Append(CultureInfo.InvariantCulture, $"{(add ? '+' : '-')}{number}");
            thought.Append(CultureInfo.InvariantCulture, $"{(add ? '+' : '-')}{number}{total}");
        }

        return new ArithmeticQuestion(text.ToString(), thought.ToString(), string.Join(' ', totals));
    }

    [GeneratedRegex("[0-9]$")]
    private static partial Regex LastDigit();
}
