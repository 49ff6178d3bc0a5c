namespace LongCat.ML.Checkpoints;

/// <summary>
/// A tensor of the base model that an adapter brings along whole (PEFT's <c>modules_to_save</c>, trained biases): it takes the base tensor's place. The values stay in the
/// adapter's file until they are read.
/// </summary>
/// <remarks>Thread safety: may be read concurrently. Valid as long as the <see cref="PeftAdapter"/> that it came from is not disposed.</remarks>
public sealed class AdapterTensor
{
    private readonly SafetensorsFile? _file;
    private readonly string? _key;
    private readonly float[]? _values;

    /// <summary>Creates a tensor from values in memory.</summary>
    /// <param name="name">The base tensor's name, for instance <c>lm_head.weight</c>.</param>
    /// <param name="shape">The dimensions, outermost first.</param>
    /// <param name="values">All elements, row-major; not copied.</param>
    /// <param name="type">The type to be stored: float32, bfloat16 or float16.</param>
    /// <exception cref="ArgumentException">The element count is not that of the shape, or the type is another.</exception>
    public AdapterTensor(string name, IReadOnlyList<long> shape, float[] values, TensorType type = TensorType.Float32)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(shape);
        ArgumentNullException.ThrowIfNull(values);
        long count = shape.Aggregate(1L, (product, dimension) => checked(product * dimension));
        if (count != values.Length)
        {
            throw new ArgumentException($"{values.Length} values for {name} {TensorEntry.ShapeText(shape)}, expected {count}", nameof(values));
        }

        if (!IsStorable(type))
        {
            throw new ArgumentException($"{type} for {name}, expected {TensorType.Float32}, {TensorType.BFloat16} or {TensorType.Float16}", nameof(type));
        }

        (Name, Shape, Type, _values) = (name, [.. shape], type, values);
    }

    internal AdapterTensor(string name, SafetensorsFile file, TensorEntry entry)
    {
        (Name, Shape, Type, _file, _key) = (name, entry.Shape, entry.Type, file, entry.Name);
        DiskKey = entry.Name;
    }

    /// <summary>The base tensor's name, for instance <c>lm_head.weight</c>.</summary>
    public string Name { get; }

    /// <summary>The dimensions, outermost first.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>The type of the values on disk.</summary>
    public TensorType Type { get; }

    /// <summary>The number of elements.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>The key in the file it was read from, which PEFT's versions spell differently; null for a tensor made in memory.</summary>
    internal string? DiskKey { get; }

    /// <summary>Reads consecutive elements, widened to float32.</summary>
    /// <param name="firstElement">Index of the first element to read, row-major.</param>
    /// <param name="destination">Receives as many elements as it is long.</param>
    /// <exception cref="ArgumentException">The range reaches outside the tensor.</exception>
    /// <exception cref="ObjectDisposedException">The adapter that it came from is disposed.</exception>
    public void ReadFloat32(long firstElement, Span<float> destination)
    {
        if (firstElement < 0 || firstElement > ElementCount - destination.Length)
        {
            throw new ArgumentException($"elements {firstElement} to {firstElement + destination.Length} of {Name} {TensorEntry.ShapeText(Shape)}, expected a range within it", nameof(firstElement));
        }

        if (_values is not null)
        {
            _values.AsSpan(checked((int)firstElement), destination.Length).CopyTo(destination);
        }
        else
        {
            _file!.ReadFloat32(_key!, firstElement, destination);
        }
    }

    /// <summary>Reads all elements, widened to float32.</summary>
    /// <returns>All elements, row-major; a copy.</returns>
    /// <exception cref="ObjectDisposedException">The adapter that it came from is disposed.</exception>
    public float[] ReadFloat32()
    {
        float[] values = new float[checked((int)ElementCount)];
        ReadFloat32(0, values);
        return values;
    }

    internal static bool IsStorable(TensorType type) => type is TensorType.Float32 or TensorType.BFloat16 or TensorType.Float16;
}
