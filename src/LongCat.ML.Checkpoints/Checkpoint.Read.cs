using System.Buffers;
using System.Runtime.InteropServices;

namespace LongCat.ML.Checkpoints;

public sealed partial class Checkpoint
{
    // 1 Mi elements: large enough to stream at disk speed, small enough that a conversion never takes more than a few MiB.
    private const int ChunkElements = 1 << 20;

    /// <summary>A tensor's bytes as they lie in the file (little-endian, row-major), without a copy.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>A view into the mapping, valid until <see cref="Dispose"/>.</returns>
    /// <exception cref="CheckpointException">No such tensor, or it is larger than a span can be (use <see cref="GetPointer"/>).</exception>
    /// <exception cref="InvalidOperationException">An adapter changes the tensor.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public ReadOnlySpan<byte> GetBytes(string name)
    {
        RefuseMerged(name);
        return Owner(name).GetBytes(name);
    }

    /// <summary>The address of a tensor's first byte in the mapping; not aligned to the element size in general.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>A pointer to <see cref="TensorEntry.ByteLength"/> readable bytes, valid until <see cref="Dispose"/>.</returns>
    /// <exception cref="CheckpointException">No such tensor.</exception>
    /// <exception cref="InvalidOperationException">An adapter changes the tensor.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public unsafe byte* GetPointer(string name)
    {
        RefuseMerged(name);
        return Owner(name).GetPointer(name);
    }

    /// <summary>Reads a tensor, widened to float32; block-quantized tensors are multiplied by their block scales.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>All elements, row-major.</returns>
    /// <exception cref="CheckpointException">No such tensor, not a floating-point tensor, bad scales, or more elements than an array holds.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public float[] ReadFloat32(string name)
    {
        float[] values = new float[TensorElements.ArrayLength(Entry(name))];
        ReadFloat32(name, values);
        return values;
    }

    /// <summary>Reads a whole tensor into memory of the caller, widened to float32.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <param name="destination">Exactly as long as the tensor has elements.</param>
    /// <exception cref="CheckpointException">No such tensor, not a floating-point tensor, or bad scales.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> has another length.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public void ReadFloat32(string name, Span<float> destination)
    {
        TensorEntry entry = Entry(name);
        if (destination.Length != entry.ElementCount)
        {
            throw new ArgumentException(
                $"room for {destination.Length} elements, expected {entry.ElementCount} for tensor {entry}", nameof(destination));
        }

        ReadFloat32(name, 0, destination);
    }

    /// <summary>Reads consecutive elements of a tensor, widened to float32; for tensors larger than an array.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <param name="firstElement">Index of the first element to read, row-major.</param>
    /// <param name="destination">Receives as many elements as it is long.</param>
    /// <exception cref="CheckpointException">No such tensor, not a floating-point tensor, or bad scales.</exception>
    /// <exception cref="ArgumentException">The range reaches outside the tensor.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    public void ReadFloat32(string name, long firstElement, Span<float> destination)
    {
        TensorEntry entry = Entry(name);
        TensorElements.CheckRange(entry, firstElement, destination.Length, nameof(firstElement));
        if (merged.TryGetValue(name, out MergedTensor? tensor))
        {
            tensor.Read(firstElement, destination);
        }
        else
        {
            ReadStored(entry, firstElement, destination);
        }
    }

    private unsafe void ReadStored(TensorEntry entry, long firstElement, Span<float> destination)
    {
        TensorElements.Widen(entry, Owner(entry.Name).Address(entry), firstElement, destination);
        if (BlockScales.For(this, entry) is { } scales)
        {
            scales.Apply(firstElement, destination);
        }
    }

    /// <summary>
    /// Writes a tensor's elements to a stream in another (or the same) type, little-endian and row-major, piece by piece: memory stays
    /// bounded however large the tensor is. Narrowing rounds to nearest, ties to even; block-quantized tensors are multiplied by their scales.
    /// </summary>
    /// <param name="name">The tensor's name.</param>
    /// <param name="target">The stored type (bytes are copied as they are), or <see cref="TensorType.Float32"/> or
    /// <see cref="TensorType.BFloat16"/> for a floating-point tensor.</param>
    /// <param name="destination">The stream to write to; element count × element size of <paramref name="target"/> bytes are written.</param>
    /// <param name="cancellationToken">Looked at before every piece.</param>
    /// <exception cref="CheckpointException">No such tensor, not a floating-point tensor, or bad scales.</exception>
    /// <exception cref="ArgumentException"><paramref name="target"/> is neither the stored type nor one of the two named.</exception>
    /// <exception cref="ObjectDisposedException">The checkpoint is closed.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the stream has received a part.</exception>
    public void CopyTo(string name, TensorType target, Stream destination, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        TensorEntry entry = Entry(name);
        if (target == entry.Type && !merged.ContainsKey(name))
        {
            CopyBytes(entry, destination, cancellationToken);
            return;
        }

        if (target != entry.Type && target is not (TensorType.Float32 or TensorType.BFloat16))
        {
            throw new ArgumentException(
                $"{target} for tensor {entry}, expected {entry.Type} (as stored), {TensorType.Float32} or {TensorType.BFloat16}", nameof(target));
        }

        int chunk = (int)Math.Min(ChunkElements, entry.ElementCount);
        float[] wide = ArrayPool<float>.Shared.Rent(chunk);
        ushort[] narrow = target == TensorType.BFloat16 ? ArrayPool<ushort>.Shared.Rent(chunk) : [];
        try
        {
            for (long done = 0; done < entry.ElementCount; done += chunk)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Span<float> piece = wide.AsSpan(0, (int)Math.Min(chunk, entry.ElementCount - done));
                ReadFloat32(name, done, piece);
                if (target is TensorType.Float16 or TensorType.Float64)
                {
                    destination.Write(AdapterDiskTensor.Narrow(piece, target));
                }
                else if (target == TensorType.BFloat16)
                {
                    Span<ushort> halves = narrow.AsSpan(0, piece.Length);
                    TensorConversion.NarrowToBFloat16(piece, halves);
                    destination.Write(MemoryMarshal.AsBytes(halves));
                }
                else
                {
                    destination.Write(MemoryMarshal.AsBytes(piece));
                }
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(wide);
            if (narrow.Length > 0)
            {
                ArrayPool<ushort>.Shared.Return(narrow);
            }
        }
    }

    private unsafe void CopyBytes(TensorEntry entry, Stream destination, CancellationToken cancellationToken)
    {
        byte* address = Owner(entry.Name).Address(entry);
        const int Piece = 4 * ChunkElements;
        for (long done = 0; done < entry.ByteLength; done += Piece)
        {
            cancellationToken.ThrowIfCancellationRequested();
            destination.Write(new ReadOnlySpan<byte>(address + done, (int)Math.Min(Piece, entry.ByteLength - done)));
        }
    }

    private SafetensorsFile Owner(string name)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        return owners[Entry(name).Name];
    }
}
