namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Conversions against definitions written out plainly.</summary>
public sealed class TensorConversionTests
{
    [Fact]
    public void Bfloat16_rounds_to_nearest_even_and_widens_back()
    {
        List<float> values = [0f, -0f, 1f, -1f, float.Epsilon, float.MaxValue, -float.MaxValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN,
            BitConverter.UInt32BitsToSingle(0x7F80_0001), BitConverter.UInt32BitsToSingle(0xFF80_FFFF), BitConverter.UInt32BitsToSingle(0x3F80_8000),
            BitConverter.UInt32BitsToSingle(0x3F81_8000), BitConverter.UInt32BitsToSingle(0x3F80_8001), BitConverter.UInt32BitsToSingle(0x3F80_7FFF)];
        Random random = new(5);
        for (int i = 0; i < 20_000; i++)
        {
            values.Add(BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)));
        }

        ushort[] narrow = new ushort[values.Count];
        TensorConversion.NarrowToBFloat16(values.ToArray(), narrow);
        float[] wide = new float[values.Count];
        TensorConversion.WidenBFloat16(narrow, wide);
        for (int i = 0; i < values.Count; i++)
        {
            if (float.IsNaN(values[i]))
            {
                Assert.True(float.IsNaN(wide[i]), $"NaN {i} became {wide[i]}");
                continue;
            }

            Assert.Equal(NearestEven(values[i]), narrow[i]);
        }
    }

    /// <summary>The nearer of the two neighbours, by distance in double precision; the even one on a tie.</summary>
    private static ushort NearestEven(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        ushort below = (ushort)(bits >> 16);
        if (float.IsInfinity(value))
        {
            return below;
        }

        ushort above = (ushort)(below + 1);
        double low = BitConverter.UInt32BitsToSingle((uint)below << 16);
        // Beyond the largest finite value the next step up counts as 2^128, as IEEE 754 rounds.
        double high = (above & 0x7F80) == 0x7F80 ? Math.CopySign(Math.Pow(2, 128), value) : BitConverter.UInt32BitsToSingle((uint)above << 16);
        double fromLow = Math.Abs(value - low);
        double fromHigh = Math.Abs(high - value);
        return fromLow < fromHigh || (fromLow == fromHigh && below % 2 == 0) ? below : above;
    }

    [Theory]
    [InlineData(0x00, 0f)]
    [InlineData(0x01, 0.001953125f)]
    [InlineData(0x07, 0.013671875f)]
    [InlineData(0x08, 0.015625f)]
    [InlineData(0x38, 1f)]
    [InlineData(0x3C, 1.5f)]
    [InlineData(0x7E, 448f)]
    [InlineData(0xFE, -448f)]
    [InlineData(0x7F, float.NaN)]
    [InlineData(0xFF, float.NaN)]
    public void E4m3_has_the_values_of_its_definition(int code, float value) => Assert.Equal(value, TensorConversion.Float8E4M3Values[code]);

    [Theory]
    [InlineData(0x01, 1.52587890625e-05f)]
    [InlineData(0x04, 6.103515625e-05f)]
    [InlineData(0x3C, 1f)]
    [InlineData(0x7B, 57344f)]
    [InlineData(0x7C, float.PositiveInfinity)]
    [InlineData(0xFC, float.NegativeInfinity)]
    [InlineData(0x7D, float.NaN)]
    public void E5m2_has_the_values_of_its_definition(int code, float value) => Assert.Equal(value, TensorConversion.Float8E5M2Values[code]);

    [Fact]
    public void E5m2_equals_half_precision_with_zeros_appended()
    {
        for (int code = 0; code < 256; code++)
        {
            Assert.Equal((float)BitConverter.UInt16BitsToHalf((ushort)(code << 8)), TensorConversion.Float8E5M2Values[code]);
        }
    }

    [Fact]
    public void Values_that_are_not_finite_are_counted_wherever_they_stand()
    {
        for (int length = 0; length < 70; length++)
        {
            for (int at = 0; at < length; at++)
            {
                float[] values = new float[length];
                values[at] = at % 2 == 0 ? float.NaN : float.NegativeInfinity;
                values[length - 1] = float.NaN;
                (long nan, long infinity) = TensorConversion.CountNonFinite(values);
                Assert.Equal(values.Count(float.IsNaN), nan);
                Assert.Equal(values.Count(float.IsInfinity), infinity);
            }
        }
    }
}
