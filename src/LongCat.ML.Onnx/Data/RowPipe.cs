namespace LongCat.ML.Onnx;

/// <summary>Takes a matrix as it streams, in pieces of any length, and hands on whole rows.</summary>
/// <param name="rowBytes">Bytes of a row.</param>
/// <param name="take">Is given each row; the array is used again for the next.</param>
internal sealed class RowPipe(long rowBytes, Action<byte[]> take) : Stream
{
    private readonly byte[] _row = new byte[checked((int)rowBytes)];
    private int _filled;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int count = Math.Min(buffer.Length, _row.Length - _filled);
            buffer[..count].CopyTo(_row.AsSpan(_filled));
            buffer = buffer[count..];
            _filled += count;
            if (_filled == _row.Length)
            {
                _filled = 0;
                take(_row);
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
