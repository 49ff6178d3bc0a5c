namespace LongCat.ML.Quantization;

/// <summary>Whether a group's range may be smaller than its largest weight.</summary>
public enum WeightClipping
{
    /// <summary>The largest weight keeps a level of its own.</summary>
    None,

    /// <summary>The range is 1.00, 0.98 … 0.50 of the largest weight, whichever gives the least squared error, weighted by the inputs' second moments where statistics exist.</summary>
    Grid,

    /// <summary>The range is learned on the layer's output over calibration (OdysseyLLM, arXiv 2311.09550, section 2.1). Needs statistics.</summary>
    Learned,
}
