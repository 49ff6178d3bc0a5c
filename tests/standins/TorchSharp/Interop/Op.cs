using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace TorchSharp.Interop;

/// <summary>One operator of libtorch. The field's name is the operator's: <c>sum__dim_IntList</c> is aten::sum.dim_IntList.</summary>
internal sealed unsafe class Op([CallerMemberName] string field = "")
{
    private nint _handle;

    private nint Handle => _handle != 0 ? _handle : Find();

    /// <summary>Calls the operator and gives its only result.</summary>
    internal Tensor Call(params ReadOnlySpan<Arg> args)
    {
        nint result;
        Invoke(default, args, &result, 1);
        return new Tensor(result);
    }

    /// <summary>Calls an operator that writes to its first argument, and gives that argument.</summary>
    internal Tensor InPlace(Tensor self, params ReadOnlySpan<Arg> args)
    {
        Invoke(self, args, null, 0);
        return self;
    }

    /// <summary>Calls an operator for its effect.</summary>
    internal void Run(params ReadOnlySpan<Arg> args) => Invoke(default, args, null, 0);

    internal (Tensor, Tensor) Pair(params ReadOnlySpan<Arg> args)
    {
        nint* results = stackalloc nint[2];
        Invoke(default, args, results, 2);
        return (new Tensor(results[0]), new Tensor(results[1]));
    }

    internal (Tensor, Tensor, Tensor) Triple(params ReadOnlySpan<Arg> args)
    {
        nint* results = stackalloc nint[3];
        Invoke(default, args, results, 3);
        return (new Tensor(results[0]), new Tensor(results[1]), new Tensor(results[2]));
    }

    /// <summary>Calls an operator whose result is a list of tensors.</summary>
    internal Tensor[] List(params ReadOnlySpan<Arg> args)
    {
        const int Capacity = 16;
        nint* few = stackalloc nint[Capacity];
        int count = Invoke(default, args, few, Capacity);
        var tensors = new Tensor[count];
        if (count <= Capacity)
        {
            for (int i = 0; i < count; i++)
            {
                tensors[i] = new Tensor(few[i]);
            }

            return tensors;
        }

        nint[] many = new nint[count];
        fixed (nint* p = many)
        {
            Native.tb_overflow(p);
        }

        for (int i = 0; i < count; i++)
        {
            tensors[i] = new Tensor(many[i]);
        }

        return tensors;
    }

    private nint Find()
    {
        int split = field.LastIndexOf("__", StringComparison.Ordinal);
        string name = split > 0 ? field[..split] : field;
        return _handle = Native.Check(Native.tb_find("aten::" + name, split > 0 ? field[(split + 2)..] : ""));
    }

    /// <summary>Lays the arguments out on the stack (lists are copied, so nothing is pinned) and calls.</summary>
    private int Invoke(Arg self, ReadOnlySpan<Arg> args, nint* results, int capacity)
    {
        const int Small = 48;
        int elements = 0;
        foreach (ref readonly Arg arg in args)
        {
            elements += arg.Reference switch { long[] a => a.Length, Tensor?[] a => a.Length, byte[] a => (a.Length + 7) / 8, _ => 0 };
        }

        long* stackScratch = stackalloc long[Small];
        long[]? heapScratch = elements <= Small ? null : GC.AllocateUninitializedArray<long>(elements, pinned: true);
        long* scratch = heapScratch is null ? stackScratch : (long*)Unsafe.AsPointer(ref heapScratch[0]);

        var native = stackalloc Native.NativeArg[args.Length + 1];
        int n = 0;
        if (self.Tag != Arg.None)
        {
            Put(self, ref native[n++], ref scratch);
        }

        foreach (ref readonly Arg arg in args)
        {
            Put(arg, ref native[n++], ref scratch);
        }

        int count = Native.tb_call(Handle, native, n, results, capacity);
        GC.KeepAlive(self.Reference);
        GC.KeepAlive(heapScratch);
        foreach (ref readonly Arg arg in args)
        {
            GC.KeepAlive(arg.Reference);
        }

        if (count < 0)
        {
            throw Native.Error();
        }

        return count;
    }

    private static void Put(in Arg arg, ref Native.NativeArg native, ref long* scratch)
    {
        native.Tag = arg.Tag;
        native.Count = 0;
        native.Bits = arg.Bits;
        switch (arg.Reference)
        {
            case null:
                break;
            case Tensor tensor:
                native.Bits = tensor.Handle;
                break;
            case long[] list:
                native.Count = list.Length;
                native.Bits = (long)scratch;
                list.CopyTo(new Span<long>(scratch, list.Length));
                scratch += list.Length;
                break;
            case Tensor?[] list:
                native.Count = list.Length;
                native.Bits = (long)scratch;
                foreach (Tensor? tensor in list)
                {
                    *scratch++ = tensor is null ? 0 : tensor.Handle;
                }

                break;
            case byte[] text:
                native.Count = text.Length;
                native.Bits = (long)scratch;
                text.CopyTo(new Span<byte>(scratch, text.Length));
                scratch += (text.Length + 7) / 8;
                break;
        }
    }
}
