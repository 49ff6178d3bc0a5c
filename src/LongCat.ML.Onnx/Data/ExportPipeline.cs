using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;

namespace LongCat.ML.Onnx;

/// <summary>A piece of a file on its way through an <see cref="ExportPipeline"/>.</summary>
internal sealed class ExportBlock(byte[] bytes)
{
    private int _pending;

    public byte[] Bytes { get; } = bytes;

    /// <summary>How many of the bytes are in use.</summary>
    public int Count { get; set; }

    public ReadOnlySpan<byte> Content => Bytes.AsSpan(0, Count);

    public void Begin(int stages) => _pending = stages;

    /// <summary>Returns whether this was the last stage.</summary>
    public bool End() => Interlocked.Decrement(ref _pending) == 0;
}

/// <summary>
/// Gives every block to each of its stages, which run side by side on threads of their own and see the blocks in order. A fixed number of blocks goes round:
/// whoever fills them waits for the slowest stage.
/// </summary>
/// <remarks>Used by one thread. A stage that fails lets the remaining blocks pass; the failure is thrown by the next call.</remarks>
internal sealed class ExportPipeline : IDisposable
{
    private readonly BlockingCollection<ExportBlock> _free = [];
    private readonly BlockingCollection<ExportBlock>[] _queues;
    private readonly Thread[] _threads;
    private volatile ExceptionDispatchInfo? _failure;

    public ExportPipeline(int blocks, int blockBytes, params Action<ExportBlock>[] stages)
    {
        // One more is in the caller's hands.
        for (int i = 1; i < blocks; i++)
        {
            _free.Add(new ExportBlock(new byte[blockBytes]));
        }

        _queues = [.. stages.Select(_ => new BlockingCollection<ExportBlock>())];
        _threads = [.. stages.Select((stage, i) => new Thread(() => Work(_queues[i], stage)) { IsBackground = true, Name = "LongCat.ML export" })];
        Array.ForEach(_threads, thread => thread.Start());
    }

    /// <summary>Hands a block in.</summary>
    /// <returns>An empty one.</returns>
    public ExportBlock Pass(ExportBlock block)
    {
        _failure?.Throw();
        block.Begin(_queues.Length);
        foreach (BlockingCollection<ExportBlock> queue in _queues)
        {
            queue.Add(block);
        }

        ExportBlock empty = _free.Take();
        empty.Count = 0;
        return empty;
    }

    /// <summary>Waits until all stages have seen all blocks.</summary>
    public void Complete()
    {
        Stop();
        _failure?.Throw();
    }

    public void Dispose()
    {
        Stop();
        _free.Dispose();
        Array.ForEach(_queues, queue => queue.Dispose());
    }

    private void Stop()
    {
        Array.ForEach(_queues, queue => queue.CompleteAdding());
        Array.ForEach(_threads, thread => thread.Join());
    }

    private void Work(BlockingCollection<ExportBlock> queue, Action<ExportBlock> stage)
    {
        foreach (ExportBlock block in queue.GetConsumingEnumerable())
        {
            if (_failure is null)
            {
                try
                {
                    stage(block);
                }
                catch (Exception exception)
                {
                    _failure = ExceptionDispatchInfo.Capture(exception);
                }
            }

            if (block.End())
            {
                _free.Add(block);
            }
        }
    }
}
