namespace LongCat.ML.Inference.Scheduling;

/// <summary>Runs steps of a model whose caches it holds. Used by one thread, except <see cref="Abort"/>.</summary>
internal interface IModelRunner : IDisposable
{
    /// <summary>V, the width of a row of logits.</summary>
    int VocabSize { get; }

    /// <summary>Computes a step and writes its cache entries.</summary>
    /// <exception cref="Exception">The step failed; the cache entries of its tokens are undefined, all others are untouched.</exception>
    void Run(PackedStep step);

    /// <summary>A row of the last step's logits, [V], valid until the next step. Rows are in the order of <see cref="PackedStep.LogitsIndex"/>.</summary>
    ReadOnlySpan<float> Logits(int row);

    /// <summary>Makes a running step end soon with an exception, and every later one. Callable from any thread.</summary>
    void Abort();
}
