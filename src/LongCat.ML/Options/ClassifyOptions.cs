namespace LongCat.ML;

/// <summary>Settings of <see cref="ClassifyEstimator"/>.</summary>
public sealed class ClassifyOptions : StepOptions
{
    /// <summary>Where a row's text goes in <see cref="PromptTemplate"/>.</summary>
    public const string TextPlaceholder = "{text}";

    /// <summary>The labels in the order of their keys and scores: at least two, all different, none empty.</summary>
    public IReadOnlyList<string> Labels { get; set; } = [];

    /// <summary>What is scored for each label, in the order of <see cref="Labels"/>; empty takes a space and the label.</summary>
    public IReadOnlyList<string> LabelTexts { get; set; } = [];

    /// <summary>The prompt: holds <see cref="TextPlaceholder"/>; examples and instructions go around it. Where a row is too long, its text is cut and the rest of the prompt kept.</summary>
    public string PromptTemplate { get; set; } = "Text: {text}\nLabel:";

    /// <summary>
    /// Divide a label's log-likelihood by its token count, so that long labels are not at a disadvantage.
    /// </summary>
    public bool NormalizeByLength { get; set; }

    /// <summary>
    /// Subtract what the model says of each label when the text is empty (contextual calibration: Zhao et al. 2021, "Calibrate Before Use", section 5).
    /// Costs one more score per label, once.
    /// </summary>
    public bool Calibrate { get; set; }

    /// <summary>The column of predicted labels: a key with the labels as key values.</summary>
    public string PredictedLabelColumnName { get; set; } = "PredictedLabel";

    /// <summary>The column of scores: a vector of Single, one per label, that sums to 1.</summary>
    public string ScoreColumnName { get; set; } = "Score";

    internal override void Validate()
    {
        base.Validate();
        Throw.IfBlank(PredictedLabelColumnName, nameof(PredictedLabelColumnName));
        Throw.IfBlank(ScoreColumnName, nameof(ScoreColumnName));
        ArgumentNullException.ThrowIfNull(Labels);
        ArgumentNullException.ThrowIfNull(LabelTexts);
        if (Labels.Count < 2 || Labels.Any(string.IsNullOrEmpty) || Labels.Distinct(StringComparer.Ordinal).Count() != Labels.Count)
        {
            throw new ArgumentException(
                $"{nameof(Labels)} holds {Labels.Count} labels ({string.Join(", ", Labels.Select(label => $"'{label}'"))}); expected at least two, all different, none empty.", nameof(Labels));
        }

        if (LabelTexts.Count != 0 && (LabelTexts.Count != Labels.Count || LabelTexts.Any(string.IsNullOrEmpty)))
        {
            throw new ArgumentException($"{nameof(LabelTexts)} holds {LabelTexts.Count} texts; expected none, or one that is not empty for each of the {Labels.Count} labels.", nameof(LabelTexts));
        }

        if (PromptTemplate is null || !PromptTemplate.Contains(TextPlaceholder, StringComparison.Ordinal))
        {
            throw new ArgumentException($"{nameof(PromptTemplate)} is '{PromptTemplate}'; expected a text that holds {TextPlaceholder}.", nameof(PromptTemplate));
        }
    }
}
