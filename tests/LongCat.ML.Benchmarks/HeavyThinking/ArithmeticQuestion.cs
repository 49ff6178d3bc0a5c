using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>The last digits on the way of a sum of one-digit numbers, added and taken away. Its result, the last of them, can be checked.</summary>
/// <remarks>
/// <para>Each step may be taken as it stands or the other way round, <c>-3</c> or <c>+7</c>: modulo 10 that is the same, but for the model another fact. So there are many ways to a result, and drawn
/// answers take different ones, as self-consistency supposes; what a model has not read (<see cref="UnreadFacts"/>) lies on some of them and not on others.</para>
/// <para>Question and answer have three tokens a step, the gap of the one where the digit of the other stands, so each step lies as many tokens before its answer as every other: otherwise a model
/// of two layers spends most of its training on finding the step that it is at. A summary's candidates come before the question for the same reason: a question stands where it always stands.</para>
/// </remarks>
/// <param name="Text">What is asked: <c>7+5?-3?</c>.</param>
/// <param name="Answer">A way with every gap filled in, each with the last digit so far: <c>7+52-39</c> or <c>7-52+79</c>. The last one is the result.</param>
internal sealed partial record ArithmeticQuestion(string Text, string Answer)
{
    /// <summary>The chat template: longcat-nano's tokens of a turn. Replies have no thoughts: the working is the answer, which is what a summary sees of a candidate.</summary>
    public const string Template = """
        {{- '<longcat_s>' }}
        {%- for message in messages %}
            {%- if message.role == 'assistant' %}{{- '<longcat_assistant>' ~ message.content ~ '</longcat_s>' }}
            {%- else %}{{- '<longcat_user>' ~ message.content }}{% endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<longcat_assistant>' }}{% endif %}
        """;

    /// <summary>The right result.</summary>
    public string Result => ResultOf(Answer)!;

    /// <summary>The result that an answer gives: its last digit, where it ends in one; otherwise null.</summary>
    public static string? ResultOf(string answer) => LastDigit().Match(answer) is { Success: true } match ? match.Value : null;

    /// <summary>How a summary is asked for: the candidates' answers, then the question.</summary>
    public static string SummaryOfAnswers(string question, IReadOnlyList<string> answers) => $"{string.Join('|', answers)}|{question}";

    /// <summary>The same with the candidates' results alone.</summary>
    public static string SummaryOfResults(string question, IReadOnlyList<string> answers) => SummaryOfAnswers(question, [.. answers.Select(answer => ResultOf(answer) ?? "?")]);

    /// <summary>Different questions, none of which is among others.</summary>
    /// <param name="count">How many.</param>
    /// <param name="steps">Steps of each.</param>
    /// <param name="random">Draws them.</param>
    /// <param name="taken">The others; these are added.</param>
    /// <param name="unread">Facts that no answer may need; null for none.</param>
    public static List<ArithmeticQuestion> Make(int count, int steps, Random random, ISet<string> taken, UnreadFacts? unread)
    {
        List<ArithmeticQuestion> questions = [];
        while (questions.Count < count)
        {
            ArithmeticQuestion question = Make(steps, random, unread);
            if (taken.Add(question.Text))
            {
                questions.Add(question);
            }
        }

        return questions;
    }

    private static ArithmeticQuestion Make(int steps, Random random, UnreadFacts? unread)
    {
        int total = random.Next(1, 10);
        string first = total.ToString(CultureInfo.InvariantCulture);
        StringBuilder text = new(first), answer = new(first);
        for (int i = 0; i < steps; i++)
        {
            ArithmeticFact asked = new(total, random.Next(2) == 0, random.Next(1, 10)), taken = random.Next(2) == 0 ? asked : asked.OtherWay;
            taken = unread?.Contains(taken) == true ? taken.OtherWay : taken;
            total = asked.Result;
            text.Append(CultureInfo.InvariantCulture, $"{asked.Sign}{asked.Number}?");
            answer.Append(CultureInfo.InvariantCulture, $"{taken.Sign}{taken.Number}{total}");
        }

        return new ArithmeticQuestion(text.ToString(), answer.ToString());
    }

    [GeneratedRegex("[0-9]$")]
    private static partial Regex LastDigit();
}
