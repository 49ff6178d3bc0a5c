namespace LongCat.ML.Quantization;

/// <summary>
/// OdysseyLLM's symmetric learnable weight clipping (arXiv 2311.09550, section 2.1): S = max(γ·max(W), β·|min(W)|) / 7 with γ and β in (0, 1), each the sigmoid
/// of a number that gradient descent (Adam) learns. The loss is the squared error of the weights, each column weighted by its inputs' second moment: the layer's
/// output error with the channels taken as independent. Rounding passes the gradient straight through. Deterministic: it starts at γ = β = 0.982 and takes
/// a fixed number of steps, and the best scale that it came by is kept.
/// </summary>
internal static class LearnedClipping
{
    private const int Steps = 80;
    private const double Start = 4;
    private const double Rate = 0.1;

    /// <summary>Learns the scale of a channel or group.</summary>
    /// <param name="weights">The weights, zeros behind them up to a multiple of <see cref="StepMath.Lanes"/>.</param>
    /// <param name="importance">What a squared error of each costs, as long; empty: 1.</param>
    /// <returns>The scale; 0 where all weights are 0.</returns>
    public static float Fit(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        float high = 0;
        float low = 0;
        double power = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            high = Math.Max(high, weights[i]);
            low = Math.Max(low, -weights[i]);
            power += (double)weights[i] * weights[i] * (importance.IsEmpty ? 1 : importance[i]);
        }

        float best = Math.Max(high, low) / 7;
        if (best == 0 || power == 0)
        {
            return best;
        }

        float least = StepMath.Error(weights, importance, best);
        Logit gamma = new();
        Logit beta = new();
        for (int step = 0; step < Steps; step++)
        {
            bool highest = gamma.Value * high >= beta.Value * low;
            float scale = (float)((highest ? gamma.Value * high : beta.Value * low) / 7);
            (float error, float slope) = StepMath.ErrorAndSlope(weights, importance, scale);
            if (error < least)
            {
                least = error;
                best = scale;
            }

            // The loss is relative to the weights' own power, so that one rate fits all layers. Only the larger of the two ends sets the scale and learns.
            double relative = slope / power / 7;
            if (highest)
            {
                gamma.Step(relative * high);
            }
            else
            {
                beta.Step(relative * low);
            }
        }

        return best;
    }

    /// <summary>A number behind a sigmoid, and what Adam remembers of its gradient.</summary>
    private struct Logit
    {
        private double _logit = Start;
        private double _mean;
        private double _square;
        private double _meanShare = 1;
        private double _squareShare = 1;

        public Logit()
        {
        }

        public double Value { get; private set; } = 1 / (1 + Math.Exp(-Start));

        public void Step(double gradient)
        {
            double slope = gradient * Value * (1 - Value);
            _mean = (0.9 * _mean) + (0.1 * slope);
            _square = (0.999 * _square) + (0.001 * slope * slope);
            _meanShare *= 0.9;
            _squareShare *= 0.999;
            double mean = _mean / (1 - _meanShare);
            double square = _square / (1 - _squareShare);
            _logit -= Rate * mean / (Math.Sqrt(square) + 1e-12);
            Value = 1 / (1 + Math.Exp(-_logit));
        }
    }
}
