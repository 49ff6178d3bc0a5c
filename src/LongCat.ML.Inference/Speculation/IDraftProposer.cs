using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Proposes tokens. It may be wrong and it may fail: the model chooses every token itself. Used by the engine's loop, except <see cref="Abort"/>.
/// </summary>
internal interface IDraftProposer : IDisposable
{
    /// <summary>Whether <see cref="Follow"/> reads the hidden states of the step.</summary>
    bool ReadsHidden { get; }

    /// <summary>Takes in a step of the model, before its pages are published: whatever a proposer keeps per page must be there when others find the page.</summary>
    /// <param name="outcomes">What the step brought to each of its requests, whether they speculate or not.</param>
    /// <param name="model">The model, for hidden states.</param>
    void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model);

    /// <summary>Fills <see cref="Sequence.Drafts"/> of each request with up to its budget of tokens; leaves it empty where there is nothing to propose.</summary>
    /// <param name="slots">Requests that have one token left to compute, and pages for as many more as their budget.</param>
    void Propose(IReadOnlyList<DraftSlot> slots);

    /// <summary>Makes a running proposal end soon with an exception, and every later one. Callable from any thread.</summary>
    void Abort();
}
