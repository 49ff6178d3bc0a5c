using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// The bare kernel and the machine's two limits, measured by code of the kernels' own compiler: liblongcat_kernel_probe, which is built with the kernels' tests.
/// Everything runs on the calling thread.
/// </summary>
internal sealed unsafe class KernelProbe
{
    private const int Avx512 = 2;
    private readonly delegate* unmanaged<int, double> peak;
    private readonly delegate* unmanaged<byte*, long, double> read;
    private readonly delegate* unmanaged<long, long, long, int, long> bytes;
    private readonly delegate* unmanaged<long, long, long, long, int, long> workspace;
    private readonly delegate* unmanaged<long, long, long, long, int, float*, byte*, float*, float*, void*, int> multiply;

    private KernelProbe(nint library)
    {
        peak = (delegate* unmanaged<int, double>)NativeLibrary.GetExport(library, "longcat_probe_peak");
        read = (delegate* unmanaged<byte*, long, double>)NativeLibrary.GetExport(library, "longcat_probe_read");
        bytes = (delegate* unmanaged<long, long, long, int, long>)NativeLibrary.GetExport(library, "longcat_probe_w4a8_bytes");
        workspace = (delegate* unmanaged<long, long, long, long, int, long>)NativeLibrary.GetExport(library, "longcat_probe_w4a8_workspace");
        multiply = (delegate* unmanaged<long, long, long, long, int, float*, byte*, float*, float*, void*, int>)NativeLibrary.GetExport(library, "longcat_probe_w4a8");
    }

    /// <exception cref="InvalidOperationException">The library has not been built.</exception>
    public static KernelProbe Open()
    {
        string path = Path.Combine(BenchmarkModels.Root, "artifacts", "native", "build", "liblongcat_kernel_probe.so");
        return File.Exists(path)
            ? new KernelProbe(NativeLibrary.Load(path))
            : throw new InvalidOperationException($"{path} is missing: ./run bench builds it (cmake -S kernels -B artifacts/native/build && cmake --build artifacts/native/build --target longcat_kernel_probe)");
    }

    /// <summary>Operations per second, two for a multiplication and its addition, of integer dot products in registers: P.</summary>
    public double Peak() => peak(Avx512);

    /// <summary>Bytes per second of one pass of plain loads: B.</summary>
    public double Read(PageBuffer buffer) => read(buffer.Bytes, buffer.Length / 256 * 256);

    /// <summary>Bytes of packed weights.</summary>
    public long PackedBytes(long n, long k, long group, int groupScaleBytes) => bytes(n, k, group, groupScaleBytes);

    /// <summary>One product on this thread.</summary>
    /// <exception cref="InvalidOperationException">The kernel refused it.</exception>
    public void Multiply(W4A8Shape shape, long m, float* x, byte* weights, float* scale, float* y, PageBuffer scratch)
    {
        long needed = workspace(m, shape.OutFeatures, shape.InFeatures, shape.Group, shape.GroupScaleBytes);
        if (needed > scratch.Length)
        {
            throw new InvalidOperationException($"the kernel wants {needed} bytes of scratch for {m} rows of {shape}, it was given {scratch.Length}");
        }

        int status = multiply(m, shape.OutFeatures, shape.InFeatures, shape.Group, shape.GroupScaleBytes, x, weights, scale, y, scratch.Bytes);
        if (status != 0)
        {
            throw new InvalidOperationException($"the kernel refused {m} rows of {shape} with status {status}");
        }
    }
}

/// <summary>A matrix of 4-bit weights.</summary>
internal sealed record W4A8Shape(int OutFeatures, int InFeatures, int Group = 128, int GroupScaleBytes = 1)
{
    public int Groups => (InFeatures + Group - 1) / Group;
}
