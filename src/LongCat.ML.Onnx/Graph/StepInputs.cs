using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The graph inputs that say which tokens of which sequences a step computes; docs/design.md section 3.</summary>
internal sealed record StepInputs(Value PositionIds, Value QueryStart, Value ContextLength, Value BlockTable)
{
    /// <summary>Which keys of the context an attention with these inputs sees; null for all of them.</summary>
    public StreamingAttentionConfig? Pattern { get; init; }
}
