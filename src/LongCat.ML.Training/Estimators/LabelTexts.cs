namespace LongCat.ML.Training.Estimators;

/// <summary>The labels of the training rows and what each is as text.</summary>
internal sealed class LabelTexts
{
    private readonly IReadOnlyDictionary<string, string> given;
    private readonly List<string> labels = [];
    private readonly HashSet<string> known = new(StringComparer.Ordinal);

    /// <param name="given">Texts of labels that have one of their own.</param>
    /// <param name="labels">The labels, where the column's type names them.</param>
    public LabelTexts(IReadOnlyDictionary<string, string> given, IReadOnlyList<string>? labels)
    {
        this.given = given;
        foreach (string label in labels ?? [])
        {
            Add(label);
        }
    }

    /// <summary>In the order of their keys: as the column's type has them, else as rows first showed them.</summary>
    public IReadOnlyList<string> Labels => labels;

    public bool Knows(string label) => known.Contains(label);

    public void Add(string label)
    {
        if (known.Add(label))
        {
            labels.Add(label);
        }
    }

    /// <summary>The text of a label. The line end keeps a label from beginning another (<c>System</c>, <c>System.IO</c>).</summary>
    public string TextOf(string label) => given.GetValueOrDefault(label, $" {label}\n");

    /// <summary>The texts of all labels in their order.</summary>
    /// <exception cref="ArgumentException">There are fewer than two labels, a text is empty, or one begins another.</exception>
    public IReadOnlyList<string> Texts(string column)
    {
        if (labels.Count < 2)
        {
            throw new ArgumentException($"The column '{column}' has {(labels.Count == 0 ? "no label" : $"the one label '{labels[0]}'")}; expected two or more to tell apart.");
        }

        (string Label, string Text)[] texts = [.. labels.Select(label => (label, TextOf(label))).OrderBy(pair => pair.Item2, StringComparer.Ordinal)];
        if (texts[0].Text.Length == 0)
        {
            throw new ArgumentException($"{nameof(LoraTrainerOptions)}.{nameof(LoraTrainerOptions.LabelTexts)} has an empty text for the label '{texts[0].Label}'.");
        }

        for (int i = 1; i < texts.Length; i++)
        {
            if (texts[i].Text.StartsWith(texts[i - 1].Text, StringComparison.Ordinal))
            {
                throw new ArgumentException(
                    $"The text '{texts[i - 1].Text}' of the label '{texts[i - 1].Label}' begins the text '{texts[i].Text}' of '{texts[i].Label}', so the two are not exclusive; end them differently in "
                    + $"{nameof(LoraTrainerOptions)}.{nameof(LoraTrainerOptions.LabelTexts)}, for example with a line end.");
            }
        }

        return [.. labels.Select(TextOf)];
    }
}
