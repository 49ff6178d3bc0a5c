namespace LongCat.ML.Inference.Scheduling;

/// <summary>Runs steps of a model whose caches it holds. Used by one thread, except <see cref="Abort"/>.</summary>
internal interface IModelRunner : IDisposable
{
    /// <summary>V, the width of a row of logits.</summary>
    int VocabSize { get; }

    /// <summary>H, the width of a row of hidden states; 0 where the graph gives none: then no step asks for them.</summary>
    int HiddenSize { get; }

    /// <summary>Where the weights lie.</summary>
    WeightPlacement Weights => new();

    /// <summary>The adapters that <see cref="PackedStep.RowAdapter"/> counts, in that order.</summary>
    IReadOnlyList<LoadedAdapter> Adapters => [];

    /// <summary>Computes a step and writes its cache entries.</summary>
    /// <exception cref="Exception">The step failed; the cache entries of its tokens are undefined, all others are untouched.</exception>
    void Run(PackedStep step);

    /// <summary>A row of the last step's logits, [V], valid until the next step. Rows are in the order of <see cref="PackedStep.LogitsIndex"/>.</summary>
    ReadOnlySpan<float> Logits(int row);

    /// <summary>
    /// The hidden state of a token of the last step after the final norm, [H], valid until the next step. Only after a step with <see cref="PackedStep.WantsHidden"/>.
    /// </summary>
    /// <param name="token">0..T-1, in the order of <see cref="PackedStep.InputIds"/>.</param>
    ReadOnlySpan<float> Hidden(int token);

    /// <summary>Makes a running step end soon with an exception, and every later one. Callable from any thread.</summary>
    void Abort();
}
