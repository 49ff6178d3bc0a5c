using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Checkpoints;

/// <summary>Takes the bytes of one tensor, in order, and writes them to its place in the file.</summary>
internal sealed class TensorWriteStream(SafeFileHandle handle, TensorEntry entry, string path, Action<long> received) : Stream
{
    private long count;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException("a tensor is written forward only");

    public override long Position
    {
        get => count;
        set => throw new NotSupportedException("a tensor is written forward only");
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (buffer.Length > entry.ByteLength - count)
        {
            throw new InvalidOperationException($"tensor {entry} takes {entry.ByteLength} bytes, got {count + buffer.Length}");
        }

        try
        {
            RandomAccess.Write(handle, buffer, entry.Offset + count);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(path, entry.Name, $"cannot be written: {e.Message}", e);
        }

        count += buffer.Length;
        received(count);
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("a tensor is written forward only");

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException("a tensor is written forward only");

    public override void SetLength(long value) => throw new NotSupportedException("a tensor is written forward only");
}
