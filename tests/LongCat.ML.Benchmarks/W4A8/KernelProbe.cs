using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// The bare kernel and the machine's two limits, measured by code of the kernels' own compiler: liblongcat_machine (kernels/bench/machine.cc), which is built beside the kernels' tests.
/// Everything runs on the calling thread.
/// </summary>
internal sealed unsafe class KernelProbe
{
    private readonly delegate* unmanaged<double, double> peak;
    private readonly delegate* unmanaged<double, double> pairs;
    private readonly delegate* unmanaged<double, double> read;
    private readonly delegate* unmanaged<long, long, long, int, long> bytes;
    private readonly delegate* unmanaged<long, long, long, long, int, long> workspace;
    private readonly delegate* unmanaged<long, long, long, long, int, float*, byte*, float*, float*, void*, int, int> multiply;

    private KernelProbe(nint library)
    {
        peak = (delegate* unmanaged<double, double>)NativeLibrary.GetExport(library, "longcat_peak_vnni");
        pairs = (delegate* unmanaged<double, double>)NativeLibrary.GetExport(library, "longcat_peak_pairs");
        read = (delegate* unmanaged<double, double>)NativeLibrary.GetExport(library, "longcat_read_bandwidth");
        bytes = (delegate* unmanaged<long, long, long, int, long>)NativeLibrary.GetExport(library, "longcat_w4a8_packed_bytes");
        workspace = (delegate* unmanaged<long, long, long, long, int, long>)NativeLibrary.GetExport(library, "longcat_w4a8_workspace_bytes");
        multiply = (delegate* unmanaged<long, long, long, long, int, float*, byte*, float*, float*, void*, int, int>)NativeLibrary.GetExport(library, "longcat_w4a8_matmul");
    }

    /// <exception cref="InvalidOperationException">The library has not been built.</exception>
    public static KernelProbe Open()
    {
        string path = Path.Combine(BenchmarkModels.Root, "artifacts", "native", "build", "liblongcat_machine.so");
        return File.Exists(path)
            ? new KernelProbe(NativeLibrary.Load(path))
            : throw new InvalidOperationException(
                $"{path} is missing; ./run bench builds it (cmake -S kernels -B artifacts/native/build -DCMAKE_BUILD_TYPE=Release && cmake --build artifacts/native/build --target longcat_machine)");
    }

    /// <summary>P: operations per second, two for a multiplication and its addition, of integer dot products in registers; 0 where the processor has none. Takes 10 ms.</summary>
    public double Peak() => peak(0.01) * 1e9;

    /// <summary>Operations per second, two for a multiplication and its addition, of dot products of bfloat16 in registers; 0 where the processor has none. Takes 10 ms.</summary>
    public double PairsPeak() => pairs(0.01) * 1e9;

    /// <summary>B: bytes per second read from memory, out of 300 MB in pages of 2 MB. Takes a third of a second.</summary>
    public double Read() => read(0.1) * 1e9;

    /// <summary>Bytes of packed weights.</summary>
    public long PackedBytes(W4A8Shape shape) => bytes(shape.OutFeatures, shape.InFeatures, shape.Group, shape.GroupScaleBytes);

    /// <summary>Bytes of scratch memory, aligned to 64, that a product wants.</summary>
    public long WorkspaceBytes(W4A8Shape shape, long m) => workspace(m, shape.OutFeatures, shape.InFeatures, shape.Group, shape.GroupScaleBytes);

    /// <summary>One product on this thread.</summary>
    /// <exception cref="InvalidOperationException">The kernel refused it.</exception>
    public void Multiply(W4A8Shape shape, long m, float* x, byte* weights, float* scale, float* y, void* scratch)
    {
        int status = multiply(m, shape.OutFeatures, shape.InFeatures, shape.Group, shape.GroupScaleBytes, x, weights, scale, y, scratch, 1);
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
