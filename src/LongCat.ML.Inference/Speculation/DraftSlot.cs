using LongCat.ML.Inference.Requests;

namespace LongCat.ML.Inference.Speculation;

/// <summary>A request that may propose.</summary>
/// <param name="Sequence">The request; its next token is wanted.</param>
/// <param name="Budget">The most tokens to propose, at least 1.</param>
internal readonly record struct DraftSlot(GenerationSequence Sequence, int Budget);
