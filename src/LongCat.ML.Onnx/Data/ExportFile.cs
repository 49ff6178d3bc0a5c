using System.Security.Cryptography;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>A file being written: hashes what passes, reports progress and stops when cancelled, at least once every <see cref="BlockBytes"/>.</summary>
internal sealed class ExportFile(string path, CancellationToken cancellationToken, IProgress<ExportProgress>? progress = null, long totalBytes = 0) : Stream
{
    private const int BlockBytes = 1 << 20;
    private const long ReportEveryBytes = 16L << 20;

    private readonly FileStream _file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1 << 16);
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _written;
    private long _reported;

    /// <summary>What is being written, for the progress report.</summary>
    public string Subject { get; set; } = Path.GetFileName(path);

    public override long Position
    {
        get => _written;
        set => throw new NotSupportedException();
    }

    public override long Length => _written;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<byte> block = buffer[..Math.Min(buffer.Length, BlockBytes)];
            _file.Write(block);
            _hash.AppendData(block);
            _written += block.Length;
            buffer = buffer[block.Length..];
            if (_written - _reported >= ReportEveryBytes)
            {
                Report();
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Everything is on the disk when this returns.</summary>
    public ManifestFile Complete()
    {
        cancellationToken.ThrowIfCancellationRequested();
        _file.Flush(flushToDisk: true);
        Report();
        return new ManifestFile(_written, Convert.ToHexStringLower(_hash.GetHashAndReset()));
    }

    public override void Flush() => _file.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _hash.Dispose();
            _file.Dispose();
        }

        base.Dispose(disposing);
    }

    private void Report()
    {
        _reported = _written;
        progress?.Report(new ExportProgress(_written, totalBytes, Subject));
    }
}
