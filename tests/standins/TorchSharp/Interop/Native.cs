using System.Runtime.InteropServices;

namespace TorchSharp.Interop;

/// <summary>The bridge's functions; see native/torch_bridge.cc.</summary>
internal static unsafe partial class Native
{
    private const string Library = "libTorchBridge.so";

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeArg
    {
        public int Tag;
        public int Count;
        public long Bits;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct Info
    {
        public long Dimensions, Elements, ElementSize, StorageOffset;
        public long* Sizes, Strides;
        public byte* Data;
        public int DType, Contiguous, RequiresGrad, Leaf;
    }

    [LibraryImport(Library)] internal static partial byte* tb_error();
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial void tb_set_error(string text);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial nint tb_find(string name, string overload);
    [LibraryImport(Library)] internal static partial int tb_call(nint op, NativeArg* args, int n, nint* results, int capacity);
    [LibraryImport(Library)] internal static partial void tb_overflow(nint* results);
    [LibraryImport(Library)] internal static partial void tb_free(nint tensor);
    [LibraryImport(Library)] internal static partial void tb_retain(nint tensor);
    [LibraryImport(Library)] internal static partial int tb_info(nint tensor, Info* info);
    [LibraryImport(Library)] internal static partial nint tb_from_data(void* data, long* sizes, int dimensions, int dtype);
    [LibraryImport(Library)] internal static partial int tb_set_requires_grad(nint tensor, int on);
    [LibraryImport(Library)] internal static partial int tb_retain_grad(nint tensor);
    [LibraryImport(Library)] internal static partial nint tb_grad(nint tensor);
    [LibraryImport(Library)] internal static partial int tb_set_grad(nint tensor, nint grad);
    [LibraryImport(Library)] internal static partial int tb_backward(nint* roots, int n, nint* grads, int gradCount, int retainGraph, int createGraph, nint* inputs, int inputCount);
    [LibraryImport(Library)] internal static partial int tb_gradients(nint* roots, int n, nint* inputs, int inputCount, nint* grads, int gradCount, int retainGraph, int createGraph, int allowUnused, nint* results);
    [LibraryImport(Library)] internal static partial int tb_grad_mode();
    [LibraryImport(Library)] internal static partial void tb_set_grad_mode(int on);
    [LibraryImport(Library)] internal static partial int tb_inference_mode();
    [LibraryImport(Library)] internal static partial nint tb_inference_enter(int on);
    [LibraryImport(Library)] internal static partial void tb_inference_leave(nint guard);
    [LibraryImport(Library)] internal static partial void tb_node_callbacks(delegate* unmanaged<long, nint, nint*, int, nint*, int, int> backward, delegate* unmanaged<long, void> release);
    [LibraryImport(Library)] internal static partial nint tb_node_new(long id, nint* inputs, int n, int materialize);
    [LibraryImport(Library)] internal static partial void tb_node_free(nint node);
    [LibraryImport(Library)] internal static partial int tb_node_output(nint node, nint output);
    [LibraryImport(Library)] internal static partial int tb_node_save(nint node, nint* tensors, int n);
    [LibraryImport(Library)] internal static partial int tb_node_saved(nint node, nint* tensors);
    [LibraryImport(Library)] internal static partial int tb_manual_seed(ulong seed);
    [LibraryImport(Library)] internal static partial nint tb_random_state();
    [LibraryImport(Library)] internal static partial int tb_set_random_state(nint state);
    [LibraryImport(Library)] internal static partial int tb_threads();
    [LibraryImport(Library)] internal static partial int tb_set_threads(int n);

    /// <summary>Throws what the last failing function of this thread said.</summary>
    internal static int Check(int result) => result < 0 ? throw Error() : result;

    /// <summary>Throws what the last failing function of this thread said, when the handle is zero.</summary>
    internal static nint Check(nint result) => result == 0 ? throw Error() : result;

    internal static ExternalException Error() => new(Marshal.PtrToStringUTF8((nint)tb_error()));
}
