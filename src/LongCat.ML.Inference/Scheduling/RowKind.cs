namespace LongCat.ML.Inference.Scheduling;

/// <summary>What a request takes from the positions that it asks for.</summary>
internal enum RowKind
{
    /// <summary>Rows of logits, [V].</summary>
    Logits,

    /// <summary>Rows of hidden states after the final norm, [H].</summary>
    Hidden,
}
