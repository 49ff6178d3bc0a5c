using System.Text.Json;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Frequencies and factors against the rotary tables of the golden fixtures.</summary>
public sealed class RopeConfigTests(ITestOutputHelper output)
{
    [GoldenTheory]
    [InlineData("plain_small")]
    [InlineData("plain_flash")]
    [InlineData("yarn_small")]
    [InlineData("yarn_lite")]
    [InlineData("yarn_2_0")]
    [InlineData("yarn_unequal_mscale")]
    [InlineData("yarn_no_mscale")]
    [InlineData("yarn_beta")]
    [InlineData("llama3")]
    public void Frequencies_and_factors_match_the_tables(string name)
    {
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllBytes(GoldenFixtures.Path("rope-tables", "cases.json")));
        using SafetensorsFile golden = SafetensorsFile.Open(GoldenFixtures.Path("rope-tables", "golden.safetensors"));
        JsonElement one = cases.RootElement.GetProperty("cases").GetProperty(name);
        RopeConfig rope = RopeConfig.Read(new ConfigReader("cases.json", one));

        // The table was computed in float32 (a power and a quotient, each rounded): its own manifest allows 5e-7 relative.
        float[] expected = golden.ReadFloat32($"{name}.inv_freq");
        float[] actual = rope.InverseFrequencies(one.GetProperty("rope_dim").GetInt32());
        Assert.Equal(expected.Length, actual.Length);
        double worst = expected.Zip(actual, (e, a) => Math.Abs((double)e - a) / e).Max();
        output.WriteLine($"{name}: inverse frequencies differ by at most {worst:e2} (relative)");
        Assert.True(worst <= 5e-7, $"{worst:e2}");

        AssertRelative(golden.ReadFloat32($"{name}.cos_sin_multiplier")[0], rope.Multiplier, 1e-6);
        AssertRelative(golden.ReadFloat32($"{name}.softmax_scale_multiplier")[0], rope.SoftmaxFactor, 1e-6);

        float[] cos = golden.ReadFloat32($"{name}.cos");
        float[] sin = golden.ReadFloat32($"{name}.sin");
        long[] positions = golden.ReadInt64("positions");
        double largestShare = 0;
        for (int p = 0; p < positions.Length; p++)
        {
            // The angle is a float32 product: its rounding grows with the position, so the tolerance does too.
            double tolerance = 1e-6 + (2e-7 * positions[p]);
            for (int i = 0; i < actual.Length; i++)
            {
                float angle = positions[p] * actual[i];
                double difference = Math.Max(
                    Math.Abs((Math.Cos(angle) * rope.Multiplier) - cos[(p * actual.Length) + i]),
                    Math.Abs((Math.Sin(angle) * rope.Multiplier) - sin[(p * actual.Length) + i]));
                largestShare = Math.Max(largestShare, difference / tolerance);
            }
        }

        output.WriteLine($"{name}: cos and sin use {largestShare:p0} of 1e-6 + 2e-7 x position");
        Assert.True(largestShare <= 1, $"{largestShare}");
    }

    private static void AssertRelative(double expected, double actual, double tolerance) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance * Math.Abs(expected), $"expected {expected:R}, got {actual:R}");
}
