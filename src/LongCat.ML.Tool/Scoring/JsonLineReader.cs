namespace LongCat.ML.Tool.Scoring;

/// <summary>Reads lines of bytes, ended by line feeds (a carriage return before one belongs to it), from a stream or a part of it. Memory is bounded by the longest line that is taken.</summary>
/// <param name="stream">The stream, which stays the caller's, at the place where reading begins: the beginning of a line.</param>
/// <param name="firstLine">The number of the first line.</param>
/// <param name="bytes">How many bytes to read at most.</param>
/// <param name="longest">The longest line, in bytes; of a longer one the bytes are passed over.</param>
internal sealed class JsonLineReader(Stream stream, long firstLine = 1, long bytes = long.MaxValue, int longest = 1 << 28)
{
    private readonly byte[] _buffer = new byte[1 << 16];
    private long _left = bytes, _number = firstLine - 1;
    private int _start, _end;

    /// <summary>Bytes of the lines that were given.</summary>
    public long Position { get; private set; }

    /// <summary>The next line; null at the end.</summary>
    /// <exception cref="IOException">The stream cannot be read.</exception>
    public async ValueTask<JsonLine?> ReadAsync(CancellationToken cancellationToken)
    {
        long offset = Position;
        MemoryStream? longer = null;
        bool tooLong = false;
        while (true)
        {
            if (_start == _end)
            {
                int wanted = (int)Math.Min(_buffer.Length, _left);
                int read = wanted == 0 ? 0 : await stream.ReadAsync(_buffer.AsMemory(0, wanted), cancellationToken).ConfigureAwait(false);
                (_start, _end) = (0, read);
                _left -= read;
                if (read == 0)
                {
                    return Position == offset ? null : Line(offset, longer, default, tooLong);
                }
            }

            int at = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n');
            int end = at < 0 ? _end : _start + at;
            ReadOnlyMemory<byte> piece = _buffer.AsMemory(_start, end - _start);
            Position += piece.Length + (at < 0 ? 0 : 1);
            _start = at < 0 ? _end : end + 1;
            if (at >= 0 && longer is null && !tooLong)
            {
                return piece.Length > longest ? Line(offset, null, default, true) : Line(offset, null, piece.ToArray(), false);
            }

            tooLong |= (longer?.Length ?? 0) + piece.Length > longest;
            longer ??= new MemoryStream();
            if (tooLong)
            {
                longer.SetLength(0);
            }
            else
            {
                longer.Write(piece.Span);
            }

            if (at >= 0)
            {
                return Line(offset, longer, default, tooLong);
            }
        }
    }

    private JsonLine Line(long offset, MemoryStream? longer, ReadOnlyMemory<byte> piece, bool tooLong)
    {
        ReadOnlyMemory<byte> line = tooLong ? default : longer is null ? piece : longer.GetBuffer().AsMemory(0, (int)longer.Length);
        if (line.Span.EndsWith("\r"u8))
        {
            line = line[..^1];
        }

        if (++_number == 1 && line.Span.StartsWith("\uFEFF"u8))
        {
            line = line[3..];
        }

        return new JsonLine(_number, offset, line, tooLong);
    }
}
