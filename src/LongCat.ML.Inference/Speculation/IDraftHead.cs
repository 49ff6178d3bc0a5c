using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>Runs a multi-token-prediction head, whose cache it holds: pages have the ids of the model's. Used by one thread, except <see cref="Abort"/>.</summary>
internal interface IDraftHead : IDisposable
{
    /// <summary>H, the width of a hidden state.</summary>
    int HiddenSize { get; }

    /// <summary>The hidden state that goes with a token of the next run, [H], to be written before <see cref="Run"/>.</summary>
    /// <param name="token">0..T-1, in the order of <see cref="PackedStep.InputIds"/>.</param>
    Span<float> HiddenInput(int token);

    /// <summary>Computes a step and writes its cache entries.</summary>
    /// <exception cref="Exception">The run failed; the cache entries of its tokens are undefined.</exception>
    void Run(PackedStep step);

    /// <summary>A row of the last run's logits, [V], valid until the next one, in the order of <see cref="PackedStep.LogitsIndex"/>.</summary>
    ReadOnlySpan<float> Logits(int row);

    /// <summary>The head's own hidden state of a token of the last run, [H], valid until the next one.</summary>
    ReadOnlySpan<float> HiddenOutput(int token);

    /// <summary>Makes a running step end soon with an exception, and every later one. Callable from any thread.</summary>
    void Abort();
}
