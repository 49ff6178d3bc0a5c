namespace LongCat.ML.Inference;

/// <summary>Where an engine takes the tokens from that it proposes to itself.</summary>
public enum SpeculativeProposer
{
    /// <summary>The request's own text: what followed the last tokens when they occurred before. Costs no model.</summary>
    PromptLookup,

    /// <summary>The multi-token-prediction head that LongCat checkpoints carry (draft.onnx of the model's folder).</summary>
    Mtp,

    /// <summary>Another, smaller model with the same tokenizer, in <see cref="SpeculativeOptions.DraftFolder"/>.</summary>
    DraftModel,
}
