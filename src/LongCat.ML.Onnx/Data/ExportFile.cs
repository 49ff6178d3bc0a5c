using System.Diagnostics;
using System.Security.Cryptography;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// A file being written: hashes what passes, reports progress and stops when cancelled, at least once every <see cref="BlockBytes"/>.
/// From the second block on, hashing and writing have a thread each, so that the longest of reading, hashing and writing is what an export takes, not their sum.
/// </summary>
internal sealed class ExportFile(string path, CancellationToken cancellationToken, IProgress<ExportProgress>? progress = null, long totalBytes = 0) : Stream
{
    private const int BlockBytes = 1 << 20;
    private const int Blocks = 8;
    private const long ReportEveryBytes = 16L << 20;
    private static readonly TimeSpan ReportEvery = TimeSpan.FromSeconds(0.5);  // quantized weights may take long to come

    private readonly FileStream _file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private ExportBlock _block = new(new byte[BlockBytes]);
    private ExportPipeline? _pipeline;
    private long _written;
    private long _reported;
    private long _reportedAt = Stopwatch.GetTimestamp();

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
            if (_block.Count == BlockBytes)
            {
                Pass();
            }

            int count = Math.Min(buffer.Length, BlockBytes - _block.Count);
            buffer[..count].CopyTo(_block.Bytes.AsSpan(_block.Count));
            _block.Count += count;
            _written += count;
            buffer = buffer[count..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Everything is on the disk when this returns.</summary>
    public ManifestFile Complete()
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_pipeline is null)
        {
            Put(_block.Content);
            _hash.AppendData(_block.Content);
        }
        else
        {
            _pipeline.Pass(_block);
            _pipeline.Complete();
        }

        _file.Flush(flushToDisk: true);
        Report();
        return new ManifestFile(_written, Convert.ToHexStringLower(_hash.GetHashAndReset()));
    }

    /// <summary>What passed is written in the order in which it came; nothing is to be done before the end.</summary>
    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            // The threads end before what they use is closed.
            _pipeline?.Dispose();
            _hash.Dispose();
            _file.Dispose();
        }

        base.Dispose(disposing);
    }

    private void Pass()
    {
        cancellationToken.ThrowIfCancellationRequested();
        _pipeline ??= new ExportPipeline(Blocks, BlockBytes, block => _hash.AppendData(block.Content), block => Put(block.Content));
        _block = _pipeline.Pass(_block);
        if (_written - _reported >= ReportEveryBytes || Stopwatch.GetElapsedTime(_reportedAt) >= ReportEvery)
        {
            Report();
        }
    }

    /// <exception cref="IOException">The disk is full, or the file may not become as long; .NET has an exception of its own for the latter, without the file's name.</exception>
    private void Put(ReadOnlySpan<byte> content)
    {
        try
        {
            _file.Write(content);
        }
        catch (Exception exception) when (exception is IOException or ArgumentOutOfRangeException)
        {
            string reason = exception is IOException ? exception.Message : "the file may not become that long";
            throw new IOException($"{path}: {content.Length:N0} bytes cannot be written after {_file.Position:N0}: {reason}. Free some space or choose another disk.", exception);
        }
    }

    private void Report()
    {
        _reported = _written;
        _reportedAt = Stopwatch.GetTimestamp();
        progress?.Report(new ExportProgress(_written, totalBytes, Subject));
    }
}
