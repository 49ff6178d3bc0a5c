using System.Collections;

namespace LongCat.ML.Training.Tests.Estimators;

internal sealed class LabelledRow
{
    public string? Text { get; set; }

    public string? Label { get; set; }

    public int Number { get; set; }
}

internal sealed class PredictedRow
{
    public string Text { get; set; } = "";

    public uint PredictedLabel { get; set; }

    public float[] Score { get; set; } = [];
}

internal sealed class PairRow
{
    public string Prompt { get; set; } = "";

    public string Completion { get; set; } = "";
}

internal sealed class CompletedRow
{
    public string Prompt { get; set; } = "";

    public string Written { get; set; } = "";
}

internal sealed class ChatRow
{
    public string[] Roles { get; set; } = [];

    public string[] Contents { get; set; } = [];
}

internal sealed class AnsweredRow
{
    public string Completion { get; set; } = "";
}

/// <summary>Rows that count how often they are begun and read.</summary>
internal sealed class Counted<T>(IReadOnlyList<T> rows) : IEnumerable<T>
{
    public int Passes { get; private set; }

    public int Read { get; private set; }

    public IEnumerator<T> GetEnumerator()
    {
        Passes++;
        foreach (T row in rows)
        {
            Read++;
            yield return row;
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
