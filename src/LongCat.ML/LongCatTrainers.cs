using Microsoft.ML;

namespace LongCat.ML;

/// <summary>
/// Estimators that train a language model, as <c>mlContext.LongCat().Trainers</c> returns them. This package has none, so that scoring needs no training library: others add theirs as extension methods
/// (<c>LongCat.ML.Training</c>: <c>Lora</c>, <c>ZigZag</c>).
/// </summary>
/// <remarks>Thread-safe; holds nothing but the context.</remarks>
public sealed class LongCatTrainers
{
    internal LongCatTrainers(MLContext context) => Context = context;

    /// <summary>The context, for extension methods.</summary>
    public MLContext Context { get; }
}
