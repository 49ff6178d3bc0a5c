using LongCat.ML.Engines;
using LongCat.ML.Inputs;
using Microsoft.ML.Data;

namespace LongCat.ML.Steps;

/// <summary>A likelihood.</summary>
internal sealed record ScoreResult(float Score, float Perplexity, int Tokens, float[] TokenLogLikelihoods) : RowResult;

/// <summary>Texts to log-likelihoods.</summary>
internal sealed class ScoreStep : RowStep
{
    public const string StepName = "Score";
    private readonly ScoreOptions options;

    public ScoreStep(ScoreOptions options)
        : base(options)
    {
        this.options = options;
        var outputs = new List<StepColumn>
        {
            new StepColumn<ScoreResult, float>(
                options.OutputColumnName, SavedNames.Score, NumberDataViewType.Single, (ScoreResult result, ref float value) => value = result.Score),
        };
        if (options.PerplexityColumnName is { } perplexity)
        {
            outputs.Add(new StepColumn<ScoreResult, float>(
                perplexity, SavedNames.Perplexity, NumberDataViewType.Single, (ScoreResult result, ref float value) => value = result.Perplexity));
        }

        if (options.TokenCountColumnName is { } tokens)
        {
            outputs.Add(new StepColumn<ScoreResult, int>(
                tokens, SavedNames.TokenCount, NumberDataViewType.Int32, (ScoreResult result, ref int value) => value = result.Tokens));
        }

        if (options.TokenLogLikelihoodsColumnName is { } each)
        {
            outputs.Add(new StepColumn<ScoreResult, VBuffer<float>>(
                each,
                SavedNames.TokenLogLikelihoods,
                new VectorDataViewType(NumberDataViewType.Single),
                (ScoreResult result, ref VBuffer<float> value) => VectorWriter.Write(result.TokenLogLikelihoods, ref value)));
        }

        Second = options.ContinuationColumnName is { } continuation ? new ColumnText(continuation) : null;
        Outputs = outputs;
    }

    public override string Name => StepName;

    public override IReadOnlyList<StepColumn> Outputs { get; }

    public override RowResult Empty { get; } = new ScoreResult(float.NaN, float.NaN, 0, []);

    // A continuation can be scored after nothing; nothing cannot be scored.
    public override bool IsEmpty(RowTexts texts) => (Second is null ? texts.First : texts.Second).Length == 0;

    public override async Task<RowResult> RunAsync(IDisposable model, RowTexts texts, CancellationToken cancellationToken)
    {
        (string prompt, string scored) = Second is null ? ("", texts.First) : (texts.First, texts.Second);
        TextLikelihood likelihood = await ((ITextEngine)model).ScoreAsync(prompt, scored, options.OverlongRows, AdapterOf(texts), cancellationToken).ConfigureAwait(false);
        double perplexity = likelihood.Tokens == 0 ? double.NaN : Math.Exp(-likelihood.LogLikelihood / likelihood.Tokens);
        return new ScoreResult((float)likelihood.LogLikelihood, (float)perplexity, likelihood.Tokens, likelihood.TokenLogLikelihoods);
    }
}
