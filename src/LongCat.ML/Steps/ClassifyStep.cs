using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using LongCat.ML.Engines;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>A label (its index, -1 for none) and the scores of all.</summary>
internal sealed record ClassifyResult(int Label, float[] Scores) : RowResult;

/// <summary>Texts to labels: each label is scored as a continuation of the prompt, and the scores are normalised over the labels.</summary>
internal sealed class ClassifyStep : RowStep
{
    public const string StepName = "Classify";
    private readonly ClassifyOptions options;
    private readonly string[] labelTexts;
    private readonly ConditionalWeakTable<IDisposable, ConcurrentDictionary<string, Task<double[]>>> baselines = [];

    public ClassifyStep(ClassifyOptions options)
        : base(options)
    {
        this.options = options;
        int count = options.Labels.Count;
        labelTexts = options.LabelTexts.Count > 0 ? [.. options.LabelTexts] : [.. options.Labels.Select(label => " " + label)];
        Empty = new ClassifyResult(-1, [.. Enumerable.Repeat(float.NaN, count)]);
        Outputs =
        [
            new StepColumn<ClassifyResult, uint>(
                options.PredictedLabelColumnName, SavedNames.Label, new KeyDataViewType(typeof(uint), count), (ClassifyResult result, ref uint value) => value = (uint)(result.Label + 1))
            {
                Labels = options.Labels,
            },
            new StepColumn<ClassifyResult, VBuffer<float>>(
                options.ScoreColumnName,
                SavedNames.LabelScores,
                new VectorDataViewType(NumberDataViewType.Single, count),
                (ClassifyResult result, ref VBuffer<float> value) => VectorWriter.Write(result.Scores, ref value))
            {
                Labels = options.Labels,
            },
        ];
    }

    public override string Name => StepName;

    public override IReadOnlyList<StepColumn> Outputs { get; }

    public override RowResult Empty { get; }

    public override async Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken)
    {
        var engine = (ITextEngine)model;
        string? adapter = AdapterOf(texts);
        double[] scores = await ScoreLabelsAsync(engine, texts.First, adapter, cancellationToken).ConfigureAwait(false);
        if (options.Calibrate)
        {
            double[] baseline = await BaselineAsync(model, engine, adapter, cancellationToken).ConfigureAwait(false);
            for (int i = 0; i < scores.Length; i++)
            {
                scores[i] -= baseline[i];
            }
        }

        // Softmax, shifted by the maximum so that no exponential overflows.
        double maximum = scores.Max();
        int best = Array.IndexOf(scores, maximum);
        double[] exponentials = [.. scores.Select(score => Math.Exp(score - maximum))];
        double sum = exponentials.Sum();
        return best < 0 ? Empty : new ClassifyResult(best, [.. exponentials.Select(value => (float)(value / sum))]);
    }

    private async Task<double[]> BaselineAsync(IDisposable model, ITextEngine engine, string? adapter, CancellationToken cancellationToken)
    {
        // Shared by all rows, so no single row's cancellation may end it.
        ConcurrentDictionary<string, Task<double[]>> known = baselines.GetValue(model, _ => new ConcurrentDictionary<string, Task<double[]>>(StringComparer.Ordinal));
        Task<double[]> baseline = known.GetOrAdd(adapter ?? "", _ => ScoreLabelsAsync(engine, "", adapter, CancellationToken.None));
        try
        {
            return await baseline.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch when (baseline.IsFaulted)
        {
            // The next row tries again.
            known.TryRemove(new KeyValuePair<string, Task<double[]>>(adapter ?? "", baseline));
            throw;
        }
    }

    private async Task<double[]> ScoreLabelsAsync(ITextEngine engine, string text, string? adapter, CancellationToken cancellationToken)
    {
        // The text is cut and the template kept, once for all labels: they are comparable only after the same prompt.
        string prompt = Prompt(engine.Cut(text, Prompt, labelTexts, options.OverlongRows));
        TextLikelihood[] likelihoods = await Task.WhenAll(
            labelTexts.Select(label => engine.ScoreAsync(prompt, label, options.OverlongRows, adapter, cancellationToken))).ConfigureAwait(false);
        return [.. likelihoods.Select(likelihood => options.NormalizeByLength ? likelihood.LogLikelihood / Math.Max(1, likelihood.Tokens) : likelihood.LogLikelihood)];
    }

    private string Prompt(string text) => options.PromptTemplate.Replace(ClassifyOptions.TextPlaceholder, text, StringComparison.Ordinal);
}
