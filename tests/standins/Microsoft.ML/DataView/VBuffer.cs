using System.Collections;

namespace Microsoft.ML.Data;

/// <summary>A vector, dense or sparse, over arrays that are reused from row to row.</summary>
public readonly struct VBuffer<T> : IEnumerable
{
    private readonly T[] values;
    private readonly int[] indices;
    private readonly int count;

    public readonly int Length;

    public VBuffer(int length, T[] values, int[] indices = null)
        : this(length, length, values, indices)
    {
    }

    public VBuffer(int length, int count, T[] values, int[] indices)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, values?.Length ?? 0);
        Length = length;
        this.count = count;
        this.values = values;
        this.indices = indices;
    }

    public bool IsDense => count == Length;

    public ReadOnlySpan<T> GetValues() => values.AsSpan(0, count);

    public ReadOnlySpan<int> GetIndices() => IsDense ? default : indices.AsSpan(0, count);

    public void CopyTo(ref VBuffer<T> destination)
    {
        VBufferEditor<T> editor = VBufferEditor.Create(ref destination, Length, count);
        GetValues().CopyTo(editor.Values);
        GetIndices().CopyTo(editor.Indices);
        destination = editor.Commit();
    }

    public void CopyTo(Span<T> destination)
    {
        destination[..Length].Clear();
        ReadOnlySpan<T> source = GetValues();
        ReadOnlySpan<int> at = GetIndices();
        for (int i = 0; i < source.Length; i++)
        {
            destination[IsDense ? i : at[i]] = source[i];
        }
    }

    public IEnumerable<T> DenseValues()
    {
        var all = new T[Length];
        CopyTo(all);
        return all;
    }

    public T GetItemOrDefault(int index)
    {
        int at = IsDense ? index : GetIndices().IndexOf(index);
        return at < 0 ? default : GetValues()[at];
    }

    public IEnumerator GetEnumerator() => DenseValues().GetEnumerator();

    public override string ToString() => IsDense ? $"Dense vector of size {Length}" : $"Sparse vector of size {Length}, {count} explicit values";

    internal VBufferEditor<T> Edit(int length, int valuesCount)
    {
        T[] newValues = values is not null && values.Length >= valuesCount ? values : new T[valuesCount];
        bool sparse = valuesCount < length;
        int[] newIndices = !sparse || (indices is not null && indices.Length >= valuesCount) ? indices : new int[valuesCount];
        return new VBufferEditor<T>(length, valuesCount, newValues, newIndices);
    }
}

/// <summary>Opens vectors for writing.</summary>
public static class VBufferEditor
{
    public static VBufferEditor<T> Create<T>(
        scoped ref VBuffer<T> destination,
        int newLogicalLength,
        int? valuesCount = null,
        int? maxValuesCapacity = null,
        bool keepOldOnResize = false,
        bool requireIndicesOnDense = false) => destination.Edit(newLogicalLength, valuesCount ?? newLogicalLength);

    public static VBufferEditor<T> CreateFromBuffer<T>(scoped ref VBuffer<T> destination) =>
        destination.Edit(destination.Length, destination.GetValues().Length);
}

/// <summary>A vector open for writing.</summary>
public readonly ref struct VBufferEditor<T>
{
    public readonly Span<T> Values;
    public readonly Span<int> Indices;

    private readonly int length;
    private readonly T[] values;
    private readonly int[] indices;

    internal VBufferEditor(int length, int count, T[] values, int[] indices)
    {
        this.length = length;
        this.values = values;
        this.indices = indices;
        Values = values.AsSpan(0, count);
        Indices = count < length ? indices.AsSpan(0, count) : default;
    }

    public VBuffer<T> Commit() => new(length, Values.Length, values, indices);

    public VBuffer<T> CommitTruncated(int physicalValuesCount) => new(length, physicalValuesCount, values, indices);
}
