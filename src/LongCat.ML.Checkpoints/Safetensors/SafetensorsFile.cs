using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A safetensors file, memory-mapped for reading. Opening reads and checks the header only; tensor data is paged in by the operating
/// system when it is touched, so files larger than memory can be read.
/// </summary>
/// <remarks>
/// Thread safety: all reading members may be called concurrently. Ownership: spans and pointers point into the mapping and are valid
/// until <see cref="Dispose"/>; the caller must not dispose while another thread still reads. The file must not be shortened while it
/// is open: reading a mapped page that no longer exists ends the process, whatever the program does.
/// </remarks>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly MemoryMappedFile mapping;
    private readonly MemoryMappedViewAccessor view;
    private readonly Dictionary<string, TensorEntry> tensors;
    private byte* start;

    private SafetensorsFile(string path, SafetensorsHeader header, MemoryMappedFile mapping, MemoryMappedViewAccessor view)
    {
        Path = path;
        tensors = header.Tensors;
        Metadata = header.Metadata.AsReadOnly();
        this.mapping = mapping;
        this.view = view;
        byte* pointer = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        start = pointer + view.PointerOffset;
    }

    /// <summary>Gives the mapping back where <see cref="Dispose"/> was forgotten.</summary>
    ~SafetensorsFile() => Release();

    /// <summary>The path the file was opened with.</summary>
    public string Path { get; }

    /// <summary>All tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => tensors;

    /// <summary>The header's <c>__metadata__</c> texts; empty where it has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file: reads its header, checks all of it, and maps the file.</summary>
    /// <param name="path">Path of the file.</param>
    /// <returns>The open file, to be disposed by the caller.</returns>
    /// <exception cref="CheckpointException">
    /// The file is missing, unreadable or malformed: header length, JSON, duplicate names, types, shapes against byte counts, overlaps,
    /// holes, truncation.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="path"/> is null or empty.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        FileStream? stream = null;
        MemoryMappedFile? mapping = null;
        MemoryMappedViewAccessor? view = null;
        try
        {
            // Delete is shared so that a writer may put a new file under the name; the mapping keeps the old one.
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
            long length = stream.Length;
            if (length < sizeof(ulong))
            {
                throw new CheckpointException(path, $"the file is {length} bytes long, expected at least 8 (the header's length)");
            }

            Span<byte> lengthBytes = stackalloc byte[sizeof(ulong)];
            stream.ReadExactly(lengthBytes);
            byte[] json = new byte[SafetensorsHeader.CheckedLength(path, BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes), length)];
            stream.ReadExactly(json);
            SafetensorsHeader header = SafetensorsHeader.Parse(path, json, length - sizeof(ulong) - json.Length);

            mapping = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            stream = null;
            view = mapping.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
            return new SafetensorsFile(path, header, mapping, view);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or CheckpointException)
        {
            view?.Dispose();
            mapping?.Dispose();
            stream?.Dispose();
            if (e is CheckpointException)
            {
                throw;
            }

            throw new CheckpointException(path, e is FileNotFoundException or DirectoryNotFoundException
                ? HuggingFaceCache.DanglingLink(path) ?? "the file does not exist"
                : $"the file cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Whether the file holds a tensor of that name.</summary>
    /// <param name="name">The name, compared ordinally.</param>
    /// <returns>True when it does.</returns>
    public bool Contains(string name) => tensors.ContainsKey(name);

    /// <summary>The entry of a tensor.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>The entry.</returns>
    /// <exception cref="CheckpointException">The file holds no such tensor.</exception>
    public TensorEntry Entry(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return tensors.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new CheckpointException(Path, name, $"not in the file, which holds {tensors.Count} tensors");
    }

    /// <summary>A tensor's bytes as they lie in the file (little-endian, row-major), without a copy.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>A view into the mapping, valid until <see cref="Dispose"/>.</returns>
    /// <exception cref="CheckpointException">No such tensor, or it is larger than a span can be (use <see cref="GetPointer"/>).</exception>
    /// <exception cref="ObjectDisposedException">The file is closed.</exception>
    public ReadOnlySpan<byte> GetBytes(string name)
    {
        TensorEntry entry = Entry(name);
        return entry.ByteLength <= int.MaxValue
            ? new ReadOnlySpan<byte>(Address(entry), (int)entry.ByteLength)
            : throw new CheckpointException(Path, name,
                $"{entry.ByteLength} bytes, expected at most {int.MaxValue} for a span; read it in pieces or by pointer");
    }

    /// <summary>The address of a tensor's first byte in the mapping; not aligned to the element size in general.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>A pointer to <see cref="TensorEntry.ByteLength"/> readable bytes, valid until <see cref="Dispose"/>.</returns>
    /// <exception cref="CheckpointException">No such tensor.</exception>
    /// <exception cref="ObjectDisposedException">The file is closed.</exception>
    public byte* GetPointer(string name) => Address(Entry(name));

    /// <summary>Reads a floating-point tensor, widened to float32 (float64 is rounded; 8-bit floats are taken without block scales).</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>All elements, row-major.</returns>
    /// <exception cref="CheckpointException">No such tensor, not a floating-point tensor, or more elements than an array holds.</exception>
    /// <exception cref="ObjectDisposedException">The file is closed.</exception>
    public float[] ReadFloat32(string name)
    {
        float[] values = new float[TensorElements.ArrayLength(Entry(name))];
        ReadFloat32(name, 0, values);
        return values;
    }

    /// <summary>Reads consecutive elements of a floating-point tensor, widened to float32.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <param name="firstElement">Index of the first element to read, row-major.</param>
    /// <param name="destination">Receives as many elements as it is long.</param>
    /// <exception cref="CheckpointException">No such tensor, or not a floating-point tensor.</exception>
    /// <exception cref="ArgumentException">The range reaches outside the tensor.</exception>
    /// <exception cref="ObjectDisposedException">The file is closed.</exception>
    public void ReadFloat32(string name, long firstElement, Span<float> destination)
    {
        TensorEntry entry = Entry(name);
        TensorElements.CheckRange(entry, firstElement, destination.Length, nameof(firstElement));
        TensorElements.Widen(entry, Address(entry), firstElement, destination);
    }

    /// <summary>Reads an integer or truth-value tensor, widened to 64 bits.</summary>
    /// <param name="name">The tensor's name.</param>
    /// <returns>All elements, row-major.</returns>
    /// <exception cref="CheckpointException">No such tensor, not an integer tensor, or an unsigned 64-bit value above 2^63-1.</exception>
    /// <exception cref="ObjectDisposedException">The file is closed.</exception>
    public long[] ReadInt64(string name)
    {
        TensorEntry entry = Entry(name);
        long[] values = new long[TensorElements.ArrayLength(entry)];
        TensorElements.WidenIntegers(entry, Address(entry), values);
        return values;
    }

    /// <summary>Releases the mapping. Spans and pointers into it must not be used any more.</summary>
    public void Dispose()
    {
        Release();
        view.Dispose();
        mapping.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The address of a tensor of this file.</summary>
    internal byte* Address(TensorEntry entry)
    {
        ObjectDisposedException.ThrowIf(start is null, this);
        return start + entry.Offset;
    }

    private void Release()
    {
        if (start is not null)
        {
            start = null;
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }
    }
}
