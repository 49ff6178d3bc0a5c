namespace LongCat.ML.Tests.Fakes;

internal sealed class TextRow
{
    public int Id { get; set; }

    public string? Text { get; set; }

    public string? Continuation { get; set; }

    public float[] Features { get; set; } = [];
}

internal sealed class CompletionRow
{
    public int Id { get; set; }

    public string Text { get; set; } = "";

    public string Completion { get; set; } = "";

    public string FinishReason { get; set; } = "";

    public int PromptTokens { get; set; }

    public int CompletionTokens { get; set; }

    public float[] Features { get; set; } = [];
}

internal sealed class ScoreRow
{
    public float Score { get; set; }

    public float Perplexity { get; set; }

    public int Tokens { get; set; }
}

internal sealed class LabelRow
{
    public uint PredictedLabel { get; set; }

    public float[] Score { get; set; } = [];
}

/// <summary>Rows that count how often they are enumerated and read.</summary>
internal sealed class CountedRows(IReadOnlyList<TextRow> rows) : IEnumerable<TextRow>
{
    public int Enumerations { get; private set; }

    public int Read { get; private set; }

    public IEnumerator<TextRow> GetEnumerator()
    {
        Enumerations++;
        foreach (TextRow row in rows)
        {
            Read++;
            yield return row;
        }
    }

    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();

    public static TextRow[] Make(int count) =>
        [.. Enumerable.Range(0, count).Select(i => new TextRow { Id = i, Text = $"prompt {i}", Continuation = $"end {i}", Features = [i, i + 0.5f] })];
}
