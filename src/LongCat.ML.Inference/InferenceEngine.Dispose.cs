namespace LongCat.ML.Inference;

public sealed partial class InferenceEngine
{
    private readonly Lock _disposal = new();
    private volatile bool _disposing;
    private bool _released;

    /// <summary>
    /// Stops the engine: a running step is broken off, every request that is not finished fails with <see cref="ObjectDisposedException"/>,
    /// and caches, session and file mappings are released. Safe to call more than once and from any thread.
    /// </summary>
    public void Dispose()
    {
        _disposing = true;
        _runner.Abort();
        _speculator?.Abort();
        _incoming.Writer.TryComplete();
        _thread.Join();
        lock (_disposal)
        {
            if (!_released)
            {
                _released = true;
                _speculator?.Dispose();
                _runner.Dispose();
            }
        }
    }

    /// <summary>As <see cref="Dispose"/>, without holding a thread while the running step ends.</summary>
    /// <returns>A task that ends when everything is released.</returns>
    public ValueTask DisposeAsync() => new(Task.Run(Dispose));
}
