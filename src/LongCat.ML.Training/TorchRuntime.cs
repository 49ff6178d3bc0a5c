using System.Runtime.InteropServices;
using TorchSharp;

namespace LongCat.ML.Training;

/// <summary>Process-wide settings that decide how fast libtorch runs on a CPU; call <see cref="Configure"/> before anything else touches it.</summary>
public static partial class TorchRuntime
{
    private const int MmapThreshold = -3;
    private const int TrimThreshold = -1;

    /// <summary>Sets threads and the waiting policy of libtorch's and OpenBLAS's thread pools, and keeps large buffers in the process.</summary>
    /// <remarks>
    /// The two pools spin against each other when they wait actively: passive waiting made training several times faster on two cores. The variables are set through libc, since
    /// libgomp does not see those of <see cref="Environment"/>; a variable that is already set stays. A training step frees and allocates the same
    /// large buffers again and again; raising glibc's thresholds spares the page faults of fresh ones. On other systems only the thread count is set.
    /// </remarks>
    /// <param name="threads">Threads of one operation; 0 means one per core.</param>
    public static void Configure(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        int count = threads == 0 ? Environment.ProcessorCount : threads;
        if (OperatingSystem.IsLinux())
        {
            _ = SetVariable("OMP_WAIT_POLICY", "passive", 0);
            _ = SetVariable("GOMP_SPINCOUNT", "0", 0);
            _ = SetVariable("OPENBLAS_THREAD_TIMEOUT", "4", 0);
            _ = SetVariable("OMP_NUM_THREADS", count.ToString(System.Globalization.CultureInfo.InvariantCulture), 0);
            try
            {
                _ = SetAllocator(MmapThreshold, 1 << 30);
                _ = SetAllocator(TrimThreshold, int.MaxValue);
            }
            catch (EntryPointNotFoundException)
            {
                // A C library without mallopt (musl): its own policy stays.
            }
        }

        torch.set_num_threads(count);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetAllocator(int parameter, int value);
}
