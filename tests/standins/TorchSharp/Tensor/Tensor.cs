using System.Runtime.InteropServices;
using TorchSharp.Interop;
using TorchSharp.Utils;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>A tensor: one reference to a libtorch tensor. Disposed by hand, by its dispose scope, or by the finalizer.</summary>
    public partial class Tensor : IDisposable
    {
        private static long s_count;
        private nint _handle;

        internal Tensor(nint handle, bool register = true)
        {
            _handle = handle;
            Interlocked.Increment(ref s_count);
            if (register)
            {
                OwningDisposeScope = DisposeScopeManager.ThreadSingleton.Register(this);
            }
        }

        ~Tensor() => Dispose(false);

        /// <summary>Live tensors of the process.</summary>
        public static long TotalCount => Interlocked.Read(ref s_count);

        public string? name { get; set; }

        public bool IsInvalid => _handle == 0;

        public nint Handle => _handle != 0 ? _handle : throw new InvalidOperationException("Tensor invalid -- empty handle: it was disposed, or moved into a Parameter.");

        internal DisposeScope? OwningDisposeScope { get; set; }

        internal unsafe Native.Info Info
        {
            get
            {
                Native.Info info;
                Native.Check(Native.tb_info(Handle, &info));
                return info;
            }
        }

        public long Dimensions => Info.Dimensions;

        public long ndim => Info.Dimensions;

        public long NumberOfElements => Info.Elements;

        public long ElementSize => Info.ElementSize;

        public ScalarType dtype => (ScalarType)Info.DType;

        public Device device
        {
            get
            {
                _ = Handle;
                return CPU;
            }
        }

        public DeviceType device_type => DeviceType.CPU;

        public int device_index => -1;

        public bool is_cuda => false;

        public bool is_leaf => Info.Leaf != 0;

        public unsafe long[] shape
        {
            get
            {
                Native.Info info = Info;
                return new ReadOnlySpan<long>(info.Sizes, (int)info.Dimensions).ToArray();
            }
        }

        /// <summary>The tensor's memory; it must be contiguous.</summary>
        public unsafe Span<byte> bytes
        {
            get
            {
                Native.Info info = Info;
                if (info.Contiguous == 0)
                {
                    throw new NotSupportedException("The bytes of a tensor that is not contiguous cannot be reached; call contiguous() first.");
                }

                return new Span<byte>(info.Data, checked((int)(info.Elements * info.ElementSize)));
            }

            set => value.CopyTo(bytes);
        }

        public void Dispose()
        {
            OwningDisposeScope?.MarkAsDisposed(this);
            OwningDisposeScope = null;
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        protected virtual void Dispose(bool disposing)
        {
            nint handle = Interlocked.Exchange(ref _handle, 0);
            if (handle != 0)
            {
                Interlocked.Decrement(ref s_count);
                Native.tb_free(handle);
            }
        }

        public Tensor MoveToOuterDisposeScope()
        {
            OwningDisposeScope?.MoveToOuter(this);
            return this;
        }

        public Tensor DetachFromDisposeScope()
        {
            OwningDisposeScope?.Detach(this);
            return this;
        }

        public Tensor MoveToOtherDisposeScope(Tensor other) => MoveToOtherDisposeScope(other.OwningDisposeScope);

        public Tensor MoveToOtherDisposeScope(DisposeScope? other)
        {
            if (OwningDisposeScope is null)
            {
                other?.Attach(this);
            }
            else
            {
                OwningDisposeScope.MoveToOther(other, this);
            }

            return this;
        }

        public long dim() => Dimensions;

        public long numel() => NumberOfElements;

        public long element_size() => ElementSize;

        public long storage_offset() => Info.StorageOffset;

        public bool is_contiguous() => Info.Contiguous != 0;

        public bool is_floating_point() => torch.is_floating_point(dtype);

        public bool is_integral() => torch.is_integral(dtype);

        public bool is_cpu() => true;

        public unsafe long size(int dim)
        {
            Native.Info info = Info;
            long index = dim < 0 ? dim + info.Dimensions : dim;
            return index >= 0 && index < info.Dimensions ? info.Sizes[index] : throw new ArgumentOutOfRangeException(nameof(dim), dim, $"The tensor has {info.Dimensions} dimensions.");
        }

        public long[] size() => shape;

        public unsafe long[] stride()
        {
            Native.Info info = Info;
            return new ReadOnlySpan<long>(info.Strides, (int)info.Dimensions).ToArray();
        }

        public long stride(int dim) => stride()[dim < 0 ? dim + (int)Dimensions : dim];

        /// <summary>The elements in row-major order, strides followed.</summary>
        public TensorAccessor<T> data<T>()
            where T : unmanaged
        {
            RequireType<T>();
            return new TensorAccessor<T>(this);
        }

        public unsafe T item<T>()
            where T : unmanaged
        {
            RequireType<T>();
            Native.Info info = Info;
            return info.Elements == 1 ? *(T*)info.Data : throw new ArgumentException($"item() needs a tensor of one element; this one has {info.Elements}.");
        }

        public unsafe Scalar ToScalar()
        {
            Native.Info info = Info;
            if (info.Elements != 1)
            {
                throw new ArgumentException($"Only a tensor of one element becomes a scalar; this one has {info.Elements}.");
            }

            byte* p = info.Data;
            Scalar scalar = (ScalarType)info.DType switch
            {
                ScalarType.Byte => *p,
                ScalarType.Int8 => *(sbyte*)p,
                ScalarType.Int16 => *(short*)p,
                ScalarType.Int32 => *(int*)p,
                ScalarType.Int64 => *(long*)p,
                ScalarType.Float16 => *(Half*)p,
                ScalarType.Float32 => *(float*)p,
                ScalarType.Float64 => *(double*)p,
                ScalarType.BFloat16 => *(BFloat16*)p,
                ScalarType.Bool => *(bool*)p,
                var type => throw new NotSupportedException($"A scalar of type {type} is not supported."),
            };
            GC.KeepAlive(this);
            return scalar;
        }

        public bool is_nonzero() => this.ToBoolean();

        public override bool Equals(object? obj) => ReferenceEquals(this, obj);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);

        public override string ToString() => IsInvalid ? "[disposed]" : $"[{string.Join('x', shape)}], type = {dtype}, device = {device}";

        internal nint MoveHandle()
        {
            nint handle = Handle;
            _handle = 0;
            Interlocked.Decrement(ref s_count);
            GC.SuppressFinalize(this);
            return handle;
        }

        private void RequireType<T>()
        {
            if (torch.ToScalarType(typeof(T)) != dtype)
            {
                throw new ArgumentException($"{typeof(T).Name} does not fit a tensor of type {dtype}; convert it first.");
            }
        }

        public static explicit operator float(Tensor value) => value.ToSingle();

        public static explicit operator double(Tensor value) => value.ToDouble();

        public static explicit operator int(Tensor value) => value.ToInt32();

        public static explicit operator long(Tensor value) => value.ToInt64();

        public static explicit operator bool(Tensor value) => value.ToBoolean();
    }
}

public static class TensorExtensionMethods
{
    public static float ToSingle(this torch.Tensor value) => value.ToScalar().ToSingle();

    public static double ToDouble(this torch.Tensor value) => value.ToScalar().ToDouble();

    public static byte ToByte(this torch.Tensor value) => value.ToScalar().ToByte();

    public static short ToInt16(this torch.Tensor value) => value.ToScalar().ToInt16();

    public static int ToInt32(this torch.Tensor value) => value.ToScalar().ToInt32();

    public static long ToInt64(this torch.Tensor value) => value.ToScalar().ToInt64();

    public static bool ToBoolean(this torch.Tensor value) => value.ToScalar().ToBoolean();

    public static Modules.Parameter AsParameter(this torch.Tensor tensor) => new(tensor);

    public static int ElementSize(this torch.ScalarType type) => type switch
    {
        torch.ScalarType.Byte or torch.ScalarType.Int8 or torch.ScalarType.Bool => 1,
        torch.ScalarType.Int16 or torch.ScalarType.Float16 or torch.ScalarType.BFloat16 => 2,
        torch.ScalarType.Int32 or torch.ScalarType.Float32 => 4,
        torch.ScalarType.Int64 or torch.ScalarType.Float64 => 8,
        _ => throw new NotSupportedException($"The size of {type} is not known."),
    };

    public static long TotalSize(this IEnumerable<long> shape) => shape.Aggregate(1L, (a, b) => a * b);
}
