namespace LongCat.ML.Inference.Sessions;

/// <summary>The rows of an output over all runs of a step, [rows, width]; memory for the largest step so far.</summary>
internal sealed unsafe class OutputRows(int width) : IDisposable
{
    private NativeBuffer? _buffer;
    private int _next;

    public int Width => width;

    /// <summary>Starts a step with this many rows. Rows of the step before are gone.</summary>
    public void Begin(int rows)
    {
        long bytes = (long)rows * width * sizeof(float);
        if (_buffer is null || _buffer.Bytes < bytes)
        {
            _buffer?.Dispose();
            _buffer = null;
            _buffer = new NativeBuffer(bytes);
        }

        _next = 0;
    }

    /// <summary>Takes the next rows.</summary>
    /// <returns>The first of them.</returns>
    public int Take(int rows)
    {
        _next += rows;
        return _next - rows;
    }

    public nint Pointer(int row) => _buffer!.Pointer + (nint)((long)row * width * sizeof(float));

    public ReadOnlySpan<float> Row(int row) => new((float*)Pointer(row), width);

    public void Dispose() => _buffer?.Dispose();
}
