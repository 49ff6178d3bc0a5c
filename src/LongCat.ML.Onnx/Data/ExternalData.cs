using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// The one data file of all graphs of an export. Graphs add tensors while they are built and learn where each will lie; the bytes are written
/// afterwards in one pass, tensor by tensor. A tensor that is added twice, by one graph or by two, is stored once.
/// </summary>
internal sealed class ExternalData(string location)
{
    /// <summary>ONNX Runtime maps a tensor into memory when its offset is a multiple of the page size, and copies it otherwise.</summary>
    public const int Alignment = 4096;

    private readonly Dictionary<string, (TensorSource Source, ExternalRegion Region)> _byKey = new(StringComparer.Ordinal);
    private readonly List<(TensorSource Source, ExternalRegion Region)> _inOrder = [];

    /// <summary>The file's length in bytes once everything added so far is written.</summary>
    public long Length { get; private set; }

    /// <summary>How many tensors will be stored.</summary>
    public int Count => _inOrder.Count;

    public ExternalRegion Add(TensorSource source)
    {
        if (_byKey.TryGetValue(source.Key, out (TensorSource Source, ExternalRegion Region) known))
        {
            if (known.Source.Type != source.Type || !known.Source.Shape.SequenceEqual(source.Shape))
            {
                throw new InvalidOperationException($"the tensor key {source.Key} is used for two different tensors");
            }

            return known.Region;
        }

        long offset = (Length + Alignment - 1) / Alignment * Alignment;
        ExternalRegion region = new(location, offset, source.ByteLength);
        Length = checked(offset + source.ByteLength);
        _byKey.Add(source.Key, (source, region));
        _inOrder.Add((source, region));
        return region;
    }

    /// <summary>Writes the file at <paramref name="path"/>.</summary>
    /// <returns>Its length and hash.</returns>
    public ManifestFile Write(string path, IProgress<ExportProgress>? progress, CancellationToken cancellationToken)
    {
        using ExportFile file = new(path, cancellationToken, progress, Length);
        Span<byte> zeros = stackalloc byte[Alignment];
        zeros.Clear();
        foreach ((TensorSource source, ExternalRegion region) in _inOrder)
        {
            file.Subject = source.Key;
            file.Write(zeros[..checked((int)(region.Offset - file.Position))]);
            source.CopyTo(file);
            if (file.Position != region.Offset + region.Length)
            {
                throw new CheckpointException(
                    path, source.Key, $"gave {file.Position - region.Offset} bytes, its shape [{string.Join(", ", source.Shape)}] as {source.Type} needs {region.Length}.");
            }
        }

        return file.Complete();
    }
}
