namespace LongCat.ML.Checkpoints;

/// <summary>How adapters of experts lie in an adapter's file.</summary>
public enum ExpertLayout
{
    /// <summary>A pair of matrices for each expert's projection, as the checkpoints store them: <c>mlp.experts.3.down_proj.lora_A.weight</c>.</summary>
    PerExpert,

    /// <summary>
    /// One pair for all experts of a layer, as PEFT's <c>target_parameters</c> stores adapters of models that hold their experts in one parameter
    /// (<c>mlp.experts.gate_up_proj</c>, <c>mlp.experts.down_proj</c>): A expert by expert, B rank by rank.
    /// </summary>
    Fused,
}
