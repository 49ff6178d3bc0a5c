using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The golden tensors of one fixture and how far from them a result may be.</summary>
internal sealed class Golden : IDisposable
{
    // What the fixtures' own README asks for: another machine's float32 differs by about 1e-5 in the logits (largest about 7), other BLAS
    // libraries by 9e-6; the smallest of the common mistakes it lists moves them by more than 1e-4.
    public const double LogitsTolerance = 5e-5;
    public const double HiddenTolerance = 1e-4;
    public const double DraftTolerance = 1e-4;

    private readonly SafetensorsFile _file;
    private readonly ITestOutputHelper _output;

    public Golden(ITestOutputHelper output, params string[] path)
    {
        _output = output;
        _file = SafetensorsFile.Open(GoldenFixtures.Path(path));
    }

    public bool Has(string name) => _file.Contains(name);

    public float[] Floats(string name) => _file.ReadFloat32(name);

    public long[] Longs(string name) => _file.ReadInt64(name);

    public IReadOnlyList<long> Shape(string name) => _file.Entry(name).Shape;

    /// <summary>The rows of a [B, S] tensor.</summary>
    public long[][] Rows(string name) => [.. Longs(name).Chunk((int)Shape(name)[^1])];

    public void Compare(string what, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            // A NaN must not pass as "not larger".
            double difference = Math.Abs((double)expected[i] - actual[i]);
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        _output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / tolerance:P0} of the tolerance {tolerance:E0}");
        Assert.True(largest <= tolerance, $"{what}: max abs diff {largest:E2} exceeds {tolerance:E0}");
    }

    public void Dispose() => _file.Dispose();
}
