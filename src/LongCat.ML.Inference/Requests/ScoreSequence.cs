using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Requests;

/// <summary>A continuation whose log-likelihood is being computed, teacher-forced. Its last token predicts nothing that is wanted, so it is not computed.</summary>
internal sealed class ScoreSequence(
    IReadOnlyList<int> prompt,
    IReadOnlyList<int> continuation,
    TaskCompletionSource<ScoreResult> task,
    int adapter,
    CancellationToken cancellationToken)
    : Sequence(prompt.Concat(continuation), prompt.Count, adapter)
{
    private readonly double[] _logLikelihoods = new double[continuation.Count];
    private int _scored;
    private bool _greedy = true;

    public override int Target => Tokens.Count - 1;

    public override int NextRow => PromptTokens - 1 + _scored;

    public override int MaxCachedTokens => Target;

    public override bool Accept(int position, ReadOnlySpan<float> row)
    {
        int id = Tokens[position + 1];
        _greedy &= Sampler.Greedy(row, position) == id;
        _logLikelihoods[_scored++] = row[id] - LogSoftmax.LogSumExp(row);
        return _scored == _logLikelihoods.Length;
    }

    public override void Complete() => task.TrySetResult(new ScoreResult
    {
        LogLikelihood = _logLikelihoods.Sum(),
        Tokens = _logLikelihoods.Length,
        TokenLogLikelihoods = _logLikelihoods,
        GreedyMatch = _greedy,
    });

    public override void Cancel() => task.TrySetCanceled(cancellationToken);

    public override void Fail(Exception exception) => task.TrySetException(exception);
}
