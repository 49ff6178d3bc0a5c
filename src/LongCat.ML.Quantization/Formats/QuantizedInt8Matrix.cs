namespace LongCat.ML.Quantization;

/// <summary>A matrix in 8 bits: w[n, k] ≈ <see cref="Scales"/>[n] · <see cref="Levels"/>[n, k]. Immutable by convention: the arrays are not copied.</summary>
public sealed class QuantizedInt8Matrix
{
    /// <summary>Creates a matrix from its parts.</summary>
    /// <param name="outFeatures">N.</param>
    /// <param name="inFeatures">K.</param>
    /// <param name="levels">[N, K], -127..127.</param>
    /// <param name="scales">[N].</param>
    /// <exception cref="ArgumentException">A size, a length or a value that does not fit; the message names it.</exception>
    public QuantizedInt8Matrix(int outFeatures, int inFeatures, sbyte[] levels, float[] scales)
    {
        ArgumentNullException.ThrowIfNull(levels);
        ArgumentNullException.ThrowIfNull(scales);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outFeatures);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inFeatures);
        QuantizedMatrix.Length(nameof(levels), levels.Length, (long)outFeatures * inFeatures);
        QuantizedMatrix.Length(nameof(scales), scales.Length, outFeatures);
        QuantizedMatrix.Expect(!levels.AsSpan().Contains(sbyte.MinValue), nameof(levels), sbyte.MinValue, "levels of -127..127");
        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        Levels = levels;
        Scales = scales;
    }

    /// <summary>N: outputs, or rows of a table.</summary>
    public int OutFeatures { get; }

    /// <summary>K: inputs, or the width of a table.</summary>
    public int InFeatures { get; }

    /// <summary>[N, K], -127..127.</summary>
    public sbyte[] Levels { get; }

    /// <summary>[N]; 0 for a row of zeros.</summary>
    public float[] Scales { get; }

    /// <summary>The weights that the levels stand for.</summary>
    /// <returns>[N, K].</returns>
    public float[] Dequantize()
    {
        float[] weights = new float[Levels.Length];
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i] = Scales[i / InFeatures] * Levels[i];
        }

        return weights;
    }
}
