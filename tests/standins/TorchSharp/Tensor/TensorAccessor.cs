using System.Collections;
using TorchSharp.Interop;

namespace TorchSharp.Utils;

/// <summary>The elements of a tensor in row-major order, read and written in place.</summary>
public sealed unsafe class TensorAccessor<T> : IDisposable, IEnumerable<T>
    where T : unmanaged
{
    private readonly torch.Tensor _tensor;
    private readonly long[] _shape;
    private readonly long[] _strides;
    private readonly bool _contiguous;
    private readonly T* _data;

    internal TensorAccessor(torch.Tensor tensor)
    {
        _tensor = tensor;
        Native.Info info = tensor.Info;
        _shape = tensor.shape;
        _strides = tensor.stride();
        _contiguous = info.Contiguous != 0;
        _data = (T*)info.Data;
        Count = info.Elements;
    }

    public long Count { get; }

    public bool IsReadOnly => false;

    public T this[params long[] indices]
    {
        get => *At(indices);
        set => *At(indices) = value;
    }

    public T[] ToArray()
    {
        T[] array = new T[Count];
        CopyTo(array);
        return array;
    }

    public void CopyTo(T[] array, int arrayIndex = 0, long tensorIndex = 0) => CopyTo(array.AsSpan(), arrayIndex, tensorIndex);

    public void CopyTo(Span<T> array, int arrayIndex = 0, long tensorIndex = 0)
    {
        Span<T> target = array[arrayIndex..];
        long count = Math.Min(Count - tensorIndex, target.Length);
        if (_contiguous)
        {
            new ReadOnlySpan<T>(_data + tensorIndex, (int)count).CopyTo(target);
        }
        else
        {
            for (int i = 0; i < count; i++)
            {
                target[i] = *At(tensorIndex + i);
            }
        }

        GC.KeepAlive(_tensor);
    }

    public void CopyFrom(T[] array, int arrayIndex = 0, long tensorIndex = 0) => CopyFrom((ReadOnlySpan<T>)array, arrayIndex, tensorIndex);

    public void CopyFrom(ReadOnlySpan<T> array, int arrayIndex = 0, long tensorIndex = 0)
    {
        ReadOnlySpan<T> source = array[arrayIndex..];
        long count = Math.Min(Count - tensorIndex, source.Length);
        for (int i = 0; i < count; i++)
        {
            *At(tensorIndex + i) = source[i];
        }

        GC.KeepAlive(_tensor);
    }

    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)ToArray()).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose()
    {
    }

    private T* At(long index)
    {
        if (_contiguous)
        {
            return _data + index;
        }

        long offset = 0;
        for (int d = _shape.Length - 1; d >= 0; d--)
        {
            (index, long position) = Math.DivRem(index, _shape[d]);
            offset += position * _strides[d];
        }

        return _data + offset;
    }

    private T* At(long[] indices)
    {
        if (indices.Length != _shape.Length)
        {
            throw new ArgumentException($"The tensor has {_shape.Length} dimensions; {indices.Length} indices were given.");
        }

        long offset = 0;
        for (int d = 0; d < indices.Length; d++)
        {
            if ((ulong)indices[d] >= (ulong)_shape[d])
            {
                throw new IndexOutOfRangeException($"Index {indices[d]} of dimension {d} is outside 0..{_shape[d] - 1}.");
            }

            offset += indices[d] * _strides[d];
        }

        return _data + offset;
    }
}
