using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

/// <summary>One golden folder: its prompt, its expected tensors, and comparison with the largest difference printed.</summary>
internal sealed class Golden : IDisposable
{
    private readonly SafetensorsFile _file;
    private readonly ITestOutputHelper _output;

    public Golden(ITestOutputHelper output, string folder, string file = "golden.safetensors")
    {
        _output = output;
        Folder = GoldenFixtures.Path(folder);
        _file = SafetensorsFile.Open(Path.Combine(Folder, file));
    }

    public string Folder { get; }

    public bool Has(string name) => _file.Contains(name);

    public long[] Int64(string name) => _file.ReadInt64(name);

    public float[] Float32(string name) => _file.ReadFloat32(name);

    public int[] Shape(string name) => [.. _file.Entry(name).Shape.Select(d => (int)d)];

    public SequenceBatch Prompt()
    {
        int[] shape = Shape("input_ids");
        return new SequenceBatch(Int64("input_ids"), shape[0], shape[1]);
    }

    public void Close(string name, torch.Tensor actual, double tolerance) =>
        Close(name, Float32(name), MemoryMarshal.Cast<byte, float>(actual.contiguous().bytes), tolerance);

    public void Close(string name, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(expected[i] - actual[i]));
        }

        _output.WriteLine($"{Path.GetFileName(Folder)} {name}: largest difference {largest:E2} of {tolerance:E0} allowed");
        Assert.True(largest <= tolerance, $"{name}: largest difference {largest:E3}, allowed {tolerance:E1}");
    }

    public void Dispose() => _file.Dispose();
}
