namespace LongCat.ML.Benchmarks.Quality;

/// <summary>How near an exported model is to the float32 one on documents.</summary>
/// <param name="Name">What was exported.</param>
/// <param name="Megabytes">Of all its files, in 10^6 bytes.</param>
/// <param name="Perplexity">exp of the mean negative log-likelihood of a token.</param>
/// <param name="LossDifference">Mean negative log-likelihood minus float32's, nats per token.</param>
/// <param name="DifferenceError">Standard error of that, documents taken as independent.</param>
/// <param name="Agreement">Share of positions whose most likely token is float32's.</param>
/// <param name="Divergence">Mean KL(float32 ‖ model) of the next token's distribution, nats.</param>
/// <param name="LogitError">√(Σ (model's logit − float32's)² / Σ float32's²) over the same positions.</param>
/// <param name="Seconds">Of the export, quantization included.</param>
internal sealed record QualityFigures(
    string Name, double Megabytes, double Perplexity, double LossDifference, double DifferenceError, double Agreement, double Divergence, double LogitError, double Seconds)
{
    /// <summary>Perplexity over float32's, minus one.</summary>
    public double RelativePerplexity => Math.Exp(LossDifference) - 1;
}
