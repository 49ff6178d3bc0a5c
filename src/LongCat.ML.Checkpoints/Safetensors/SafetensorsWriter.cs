using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Writes a safetensors file with bounded memory: all tensors are declared first, then each is written in any order, whole or as a stream.
/// The file appears under its name on <see cref="Complete"/>; until then it lies beside it under a temporary name, which
/// <see cref="Dispose"/> removes.
/// </summary>
/// <remarks>
/// The bytes depend on the declarations, the metadata and the values alone: tensors lie in order of falling element size, then of name
/// (so every tensor is aligned to its element size), and the metadata in order of key. Thread safety: different tensors may be written
/// concurrently; <see cref="Complete"/> and <see cref="Dispose"/> must not overlap with a write.
/// </remarks>
public sealed class SafetensorsWriter : IDisposable
{
    private const int ChunkElements = 1 << 18;

    private readonly string path;
    private readonly string temporaryPath;
    private readonly SafeFileHandle handle;
    private readonly Dictionary<string, TensorEntry> entries;
    private readonly Dictionary<string, long> received = new(StringComparer.Ordinal);
    private bool completed;
    private bool disposed;

    private SafetensorsWriter(string path, string temporaryPath, SafeFileHandle handle, Dictionary<string, TensorEntry> entries)
    {
        this.path = path;
        this.temporaryPath = temporaryPath;
        this.handle = handle;
        this.entries = entries;
    }

    /// <summary>The tensors that were declared, with the places they take in the file.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => entries;

    /// <summary>Declares the tensors, reserves their space and writes the header.</summary>
    /// <param name="path">The file to make; its folder must exist. An existing file is replaced on <see cref="Complete"/>.</param>
    /// <param name="tensors">All tensors, in any order.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>; null for none.</param>
    /// <returns>The writer, to be disposed by the caller.</returns>
    /// <exception cref="ArgumentException">A name is empty, reserved or declared twice, a dimension is negative, or a size overflows.</exception>
    /// <exception cref="CheckpointException">The file cannot be created or its space not be reserved.</exception>
    public static SafetensorsWriter Create(string path, IEnumerable<TensorDeclaration> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(tensors);
        (byte[] header, Dictionary<string, TensorEntry> entries, long length) = SafetensorsLayout.Arrange(path, tensors, metadata);
        string temporaryPath = $"{path}.{Guid.NewGuid():N}.partial";
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(temporaryPath, FileMode.CreateNew, FileAccess.Write, FileShare.None);
            RandomAccess.SetLength(handle, length);
            Span<byte> lengthBytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64LittleEndian(lengthBytes, (ulong)header.Length);
            RandomAccess.Write(handle, lengthBytes, 0);
            RandomAccess.Write(handle, header, sizeof(ulong));
            return new SafetensorsWriter(path, temporaryPath, handle, entries);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentOutOfRangeException)
        {
            // ArgumentOutOfRangeException: longer than the file system allows.
            if (handle is not null)
            {
                handle.Dispose();
                File.Delete(temporaryPath);
            }

            throw new CheckpointException(path, $"cannot be written ({length} bytes): {e.Message}", e);
        }
    }

    /// <summary>Writes a whole tensor from its stored bytes.</summary>
    /// <param name="name">A declared name that nothing was written to yet.</param>
    /// <param name="bytes">All bytes of the tensor, little-endian and row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, or the byte count is not the declared one.</exception>
    /// <exception cref="InvalidOperationException">The tensor was already written.</exception>
    /// <exception cref="CheckpointException">The file system refused.</exception>
    public void Write(string name, ReadOnlySpan<byte> bytes)
    {
        TensorEntry entry = Declared(name);
        if (bytes.Length != entry.ByteLength)
        {
            throw new ArgumentException($"{bytes.Length} bytes for tensor {entry}, expected {entry.ByteLength}", nameof(bytes));
        }

        using Stream stream = OpenTensor(name);
        stream.Write(bytes);
    }

    /// <summary>Writes a whole tensor from float32 values; BF16 is rounded to nearest, ties to even.</summary>
    /// <param name="name">A declared name of type <see cref="TensorType.Float32"/> or <see cref="TensorType.BFloat16"/>.</param>
    /// <param name="values">All elements, row-major.</param>
    /// <exception cref="ArgumentException">The name was not declared, has another type, or the element count is not the declared one.</exception>
    /// <exception cref="InvalidOperationException">The tensor was already written.</exception>
    /// <exception cref="CheckpointException">The file system refused.</exception>
    public void Write(string name, ReadOnlySpan<float> values)
    {
        TensorEntry entry = Declared(name);
        if (values.Length != entry.ElementCount)
        {
            throw new ArgumentException($"{values.Length} values for tensor {entry}, expected {entry.ElementCount}", nameof(values));
        }

        if (entry.Type is not (TensorType.Float32 or TensorType.BFloat16))
        {
            throw new ArgumentException($"float values for tensor {entry}, expected a tensor declared as F32 or BF16", nameof(name));
        }

        using Stream stream = OpenTensor(name);
        if (entry.Type == TensorType.Float32)
        {
            // In pieces: the bytes of 2^29 values or more would not fit into one span.
            for (int done = 0; done < values.Length; done += ChunkElements)
            {
                stream.Write(MemoryMarshal.AsBytes(values[done..Math.Min(done + ChunkElements, values.Length)]));
            }

            return;
        }

        ushort[] buffer = ArrayPool<ushort>.Shared.Rent(Math.Min(ChunkElements, values.Length));
        try
        {
            for (int done = 0; done < values.Length; done += ChunkElements)
            {
                ReadOnlySpan<float> piece = values[done..Math.Min(done + ChunkElements, values.Length)];
                TensorConversion.NarrowToBFloat16(piece, buffer.AsSpan(0, piece.Length));
                stream.Write(MemoryMarshal.AsBytes(buffer.AsSpan(0, piece.Length)));
            }
        }
        finally
        {
            ArrayPool<ushort>.Shared.Return(buffer);
        }
    }

    /// <summary>Opens a tensor to be written piece by piece, for instance by <see cref="Checkpoint.CopyTo"/>.</summary>
    /// <param name="name">A declared name that nothing was written to yet.</param>
    /// <returns>A write-only stream that takes exactly the tensor's bytes; unbuffered, so hand it large pieces.</returns>
    /// <exception cref="ArgumentException">The name was not declared.</exception>
    /// <exception cref="InvalidOperationException">The tensor was already opened.</exception>
    /// <exception cref="ObjectDisposedException">The writer is disposed or complete.</exception>
    public Stream OpenTensor(string name)
    {
        ObjectDisposedException.ThrowIf(disposed || completed, this);
        TensorEntry entry = Declared(name);
        lock (received)
        {
            if (!received.TryAdd(name, 0))
            {
                throw new InvalidOperationException($"tensor {entry} is written a second time; each is written once");
            }
        }

        return new TensorWriteStream(handle, entry, path, count =>
        {
            lock (received)
            {
                received[name] = count;
            }
        });
    }

    /// <summary>Makes sure that every tensor is whole, flushes to the disk, and gives the file its name.</summary>
    /// <exception cref="InvalidOperationException">A declared tensor was not written or only in part.</exception>
    /// <exception cref="CheckpointException">The file system refused.</exception>
    /// <exception cref="ObjectDisposedException">The writer is disposed or complete.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(disposed || completed, this);
        foreach (TensorEntry entry in entries.Values.OrderBy(e => e.Offset))
        {
            long count = received.GetValueOrDefault(entry.Name);
            if (count != entry.ByteLength)
            {
                throw new InvalidOperationException($"tensor {entry} received {count} of {entry.ByteLength} bytes; write it before completing");
            }
        }

        try
        {
            RandomAccess.FlushToDisk(handle);
            handle.Dispose();
            File.Move(temporaryPath, path, overwrite: true);
            completed = true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(path, $"cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Closes the writer; without <see cref="Complete"/> nothing remains on disk.</summary>
    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        handle.Dispose();
        if (!completed)
        {
            try
            {
                File.Delete(temporaryPath);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Nothing to be done here; the name says that the file is partial.
            }
        }
    }

    private TensorEntry Declared(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return entries.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new ArgumentException($"tensor {name} was not declared; {entries.Count} tensors were", nameof(name));
    }
}
