using LongCat.ML.Inference.Sampling;

namespace LongCat.ML.Inference.Calibration;

/// <summary>What is added up of one way of sparse verification.</summary>
internal sealed class SparseTally
{
    private readonly List<double> _milliseconds = [];
    private long _rows;
    private long _agreements;
    private double _divergence;
    private double _exactLoss;
    private double _loss;
    private long _rounds;
    private long _accepted;

    /// <summary>Adds a round over the text's own tokens.</summary>
    /// <param name="exact">Rows of logits, [rows, V].</param>
    /// <param name="sparse">The same, verified sparsely.</param>
    /// <param name="next">The text's token behind each row.</param>
    public void AddText(ReadOnlySpan<float> exact, ReadOnlySpan<float> sparse, ReadOnlySpan<int> next)
    {
        int width = exact.Length / next.Length;
        for (int row = 0; row < next.Length; row++)
        {
            ReadOnlySpan<float> p = exact.Slice(row * width, width), q = sparse.Slice(row * width, width);
            double ofP = LogSoftmax.LogSumExp(p), ofQ = LogSoftmax.LogSumExp(q);
            double divergence = 0;
            for (int id = 0; id < width; id++)
            {
                double logP = p[id] - ofP;
                divergence += Math.Exp(logP) * (logP - (q[id] - ofQ));
            }

            _rows++;
            _agreements += Sampler.Greedy(p, row) == Sampler.Greedy(q, row) ? 1 : 0;
            _divergence += divergence;
            _exactLoss += ofP - p[next[row]];
            _loss += ofQ - q[next[row]];
        }
    }

    /// <summary>Adds a round over the exact model's continuation.</summary>
    /// <param name="sparse">Rows of logits, [drafts + 1, V], verified sparsely.</param>
    /// <param name="drafts">The continuation.</param>
    public void AddDrafts(ReadOnlySpan<float> sparse, ReadOnlySpan<int> drafts)
    {
        int width = sparse.Length / (drafts.Length + 1), accepted = 0;
        while (accepted < drafts.Length && Sampler.Greedy(sparse.Slice(accepted * width, width), accepted) == drafts[accepted])
        {
            accepted++;
        }

        _rounds++;
        _accepted += accepted + 1;
    }

    public void AddTime(double milliseconds) => _milliseconds.Add(milliseconds);

    public double Median() => Median(_milliseconds);

    public SparseComparison Complete(SparseVerification verification, double exactMilliseconds) => new()
    {
        Verification = verification,
        Rounds = _milliseconds.Count,
        ArgmaxAgreement = (double)_agreements / _rows,
        KlDivergence = _divergence / _rows,
        ExactPerplexity = Math.Exp(_exactLoss / _rows),
        Perplexity = Math.Exp(_loss / _rows),
        AcceptanceLength = (double)_accepted / _rounds,
        ExactMilliseconds = exactMilliseconds,
        Milliseconds = Median(),
    };

    private static double Median(List<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
