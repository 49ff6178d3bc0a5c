using System.Collections.Concurrent;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>
/// Quantizes matrices ahead of the tensors that are being written, in their order, so that the machine's cores have work while the exporting thread packs and writes, and small matrices
/// (experts) run side by side. What is quantized and not yet written is bounded.
/// </summary>
/// <remarks>Used by the exporting thread; <see cref="Rent"/> and <see cref="Return"/> by all. Whoever disposes it waits for what runs, since that reads the checkpoint.</remarks>
internal sealed class QuantizationQueue : IDisposable
{
    /// <summary>Elements ahead, 5 bytes each while they are quantized and 1 afterwards. A matrix of more goes alone.</summary>
    private const long MostElements = 64L << 20;

    private readonly List<W4A8Projection> _inOrder = [];
    private readonly Dictionary<string, W4A8Projection> _byName = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<long, ConcurrentBag<float[]>> _buffers = [];
    private readonly CancellationTokenSource _cancellation;
    private int _started;
    private int _taken;
    private long _ahead;

    public QuantizationQueue(CancellationToken cancellationToken)
    {
        _cancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        CancellationToken = _cancellation.Token;
    }

    public CancellationToken CancellationToken { get; }

    /// <summary>Adds a matrix behind the others; one that is there already is given back.</summary>
    public W4A8Projection Add(string name, Func<W4A8Projection> create)
    {
        if (!_byName.TryGetValue(name, out W4A8Projection? projection))
        {
            _byName.Add(name, projection = create());
            projection.Queue = this;
            projection.Index = _inOrder.Count;
            _inOrder.Add(projection);
        }

        return projection;
    }

    /// <summary>Room for a matrix in float32; models have many of few sizes, so what is given back is used again.</summary>
    public float[] Rent(long elements) => _buffers.TryGetValue(elements, out ConcurrentBag<float[]>? free) && free.TryTake(out float[]? buffer) ? buffer : new float[elements];

    public void Return(float[] buffer) => _buffers.GetOrAdd(buffer.LongLength, _ => []).Add(buffer);

    /// <summary>The matrix that is to be written now: waits until it is quantized, and lets the next ones begin.</summary>
    public QuantizedMatrix Take(W4A8Projection projection)
    {
        // Tensors are written in the order in which they were added; nothing before this one is wanted any more.
        for (; _taken < projection.Index; _taken++)
        {
            _ahead -= _taken < _started ? _inOrder[_taken].Elements : 0;
        }

        Start(projection.Index);
        QuantizedMatrix matrix = projection.Result();
        _ahead -= projection.Elements;
        _taken = projection.Index + 1;
        Start(_taken);
        return matrix;
    }

    public void Dispose()
    {
        _cancellation.Cancel();
        foreach (W4A8Projection projection in _inOrder)
        {
            projection.Abandon();
        }

        _cancellation.Dispose();
    }

    /// <summary>Starts the matrix at <paramref name="wanted"/>, and those behind it as far as there is room.</summary>
    private void Start(int wanted)
    {
        _started = Math.Max(_started, _taken);
        while (_started < _inOrder.Count
            && (_started <= wanted || (_started - _taken <= Environment.ProcessorCount && _ahead + _inOrder[_started].Elements <= MostElements)))
        {
            W4A8Projection next = _inOrder[_started++];
            _ahead += next.Elements;
            next.Begin(CancellationToken);
        }
    }
}
