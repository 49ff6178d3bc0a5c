using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Rows;

/// <summary>A column of the source kept for the rows in flight: one value per place of the ring.</summary>
internal abstract class PassedColumn
{
    /// <summary>Reads the source's current value into a place of the ring.</summary>
    public abstract void Capture(int place);

    /// <summary>The getter over the place that <paramref name="current"/> returns.</summary>
    public abstract Delegate Getter(Func<int> current);

    public static PassedColumn Create(DataViewRow source, DataViewSchema.Column column, int capacity)
    {
        Type raw = column.Type.RawType;
        Type implementation = raw.IsGenericType && raw.GetGenericTypeDefinition() == typeof(VBuffer<>)
            ? typeof(PassedVector<>).MakeGenericType(raw.GetGenericArguments()[0])
            : typeof(PassedValue<>).MakeGenericType(raw);
        return (PassedColumn)Activator.CreateInstance(implementation, source, column, capacity)!;
    }
}

/// <summary>Values that are copied by assignment. Text is such a value: its characters are never overwritten, which ML.NET's own cache relies on too.</summary>
internal sealed class PassedValue<T>(DataViewRow source, DataViewSchema.Column column, int capacity) : PassedColumn
{
    private readonly ValueGetter<T> read = source.GetGetter<T>(column);
    private readonly T[] values = new T[capacity];

    public override void Capture(int place)
    {
        // A fresh value: the source must not write into an object that the consumer of an earlier row still holds.
        T value = default!;
        read(ref value);
        values[place] = value;
    }

    public override Delegate Getter(Func<int> current)
    {
        ValueGetter<T> getter = (ref T value) => value = values[current()];
        return getter;
    }
}

/// <summary>Vectors: each place owns its buffers, and the consumer gets a copy.</summary>
internal sealed class PassedVector<T>(DataViewRow source, DataViewSchema.Column column, int capacity) : PassedColumn
{
    private readonly ValueGetter<VBuffer<T>> read = source.GetGetter<VBuffer<T>>(column);
    private readonly VBuffer<T>[] values = new VBuffer<T>[capacity];

    public override void Capture(int place) => read(ref values[place]);

    public override Delegate Getter(Func<int> current)
    {
        ValueGetter<VBuffer<T>> getter = (ref VBuffer<T> value) => values[current()].CopyTo(ref value);
        return getter;
    }
}
