using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// Zeroed memory outside the managed heap, aligned to a cache line. The operating system gives the pages when they are first touched,
/// so a large budget costs neither start-up time nor memory until it is used.
/// </summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const int Alignment = 64;
    private void* _block;

    /// <param name="bytes">How much.</param>
    /// <param name="advice">What to do where there is not so much.</param>
    public NativeBuffer(long bytes, string advice = "Lower EngineOptions.MemoryBudgetBytes.")
    {
        Bytes = bytes;
        try
        {
            _block = NativeMemory.AllocZeroed((nuint)checked(bytes + Alignment));
        }
        catch (OutOfMemoryException exception)
        {
            throw new InferenceException($"{bytes} bytes for the engine's buffers are not to be had. {advice}", exception);
        }

        Pointer = (nint)(((nuint)_block + Alignment - 1) & ~(nuint)(Alignment - 1));
    }

    public nint Pointer { get; private set; }

    public long Bytes { get; }

    public void Dispose()
    {
        NativeMemory.Free(_block);
        _block = null;
        Pointer = 0;
    }
}
