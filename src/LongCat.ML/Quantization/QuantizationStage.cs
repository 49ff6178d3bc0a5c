namespace LongCat.ML;

/// <summary>What a quantization is doing.</summary>
public enum QuantizationStage
{
    /// <summary>It writes the float graph that calibration runs, into a temporary folder; in bytes.</summary>
    Probe,

    /// <summary>The model reads the calibration rows; in tokens.</summary>
    Calibrate,

    /// <summary>It quantizes the weights and writes them; in bytes.</summary>
    Write,
}
