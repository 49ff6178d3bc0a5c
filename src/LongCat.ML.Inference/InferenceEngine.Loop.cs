using System.Threading.Channels;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference;

public sealed partial class InferenceEngine
{
    // Null is a wake-up call: a request in the engine was cancelled.
    private readonly Channel<Sequence?> _incoming = Channel.CreateUnbounded<Sequence?>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Thread _thread;
    private EngineStatistics _statistics;
    private long _finished;
    private long _cancelled;
    private long _failed;
    private volatile Exception? _fault;

    /// <summary>Hands a request to the loop.</summary>
    private void Submit(Sequence sequence, CancellationToken cancellationToken)
    {
        // On the caller's thread: of a million tokens it takes longer than a step.
        sequence.NameWholePages(_pageSize);
        sequence.Registration = cancellationToken.UnsafeRegister(
            static state =>
            {
                (InferenceEngine engine, Sequence cancelled) = ((InferenceEngine, Sequence))state!;
                cancelled.RequestCancellation();
                engine._incoming.Writer.TryWrite(null);
            },
            (this, sequence));
        if (!_incoming.Writer.TryWrite(sequence))
        {
            sequence.Registration.Unregister();
            throw Stopped();
        }
    }

    private void Loop()
    {
        try
        {
            while (Receive())
            {
                DropCancelled();
                bool worked = _executor.RunStep();
                Report();
                if (!worked && !_incoming.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
                {
                    break;
                }
            }
        }
        catch (Exception exception)
        {
            // Nothing above lets a request's failure through: this is a defect of the engine, and its callers must learn of it rather than wait.
            _fault = exception;
        }
        finally
        {
            _incoming.Writer.TryComplete();
            FailAll();
        }
    }

    /// <summary>Takes in what arrived.</summary>
    /// <returns>Whether the engine goes on.</returns>
    private bool Receive()
    {
        while (_incoming.Reader.TryRead(out Sequence? sequence))
        {
            if (sequence is not null)
            {
                _scheduler.Add(sequence);
            }
        }

        return !_disposing;
    }

    private void DropCancelled()
    {
        List<Sequence>? dropped = null;
        foreach (Sequence sequence in _scheduler.Running.Concat(_scheduler.Waiting))
        {
            if (sequence.CancellationRequested)
            {
                (dropped ??= []).Add(sequence);
            }
        }

        if (dropped is null)
        {
            return;
        }

        foreach (Sequence sequence in dropped)
        {
            _scheduler.Remove(sequence);
        }

        _cancelled += dropped.Count;
        PublishStatistics();
        foreach (Sequence sequence in dropped)
        {
            sequence.Registration.Unregister();
            sequence.Cancel();
        }
    }

    /// <summary>Statistics first, results second: who awaits a result finds its steps counted.</summary>
    private void Report()
    {
        _finished += _executor.Finished.Count;
        _failed += _executor.Failed.Count;
        PublishStatistics();
        foreach (Sequence sequence in _executor.Finished)
        {
            sequence.Registration.Unregister();
            sequence.Complete();
        }

        foreach ((Sequence sequence, Exception error) in _executor.Failed)
        {
            sequence.Registration.Unregister();
            sequence.Fail(_disposing ? Stopped() : error);
        }
    }

    private void PublishStatistics() => Volatile.Write(ref _statistics, Snapshot());

    private EngineStatistics Snapshot() => new()
    {
        Steps = _executor.Steps,
        PrefillTokens = _executor.PrefillTokens,
        GeneratedTokens = _executor.GeneratedTokens,
        PrefixHitTokens = _scheduler.PrefixHitTokens,
        RequestsRunning = _scheduler.Running.Count,
        RequestsWaiting = _scheduler.Waiting.Count,
        RequestsFinished = _finished,
        RequestsCancelled = _cancelled,
        RequestsFailed = _failed,
        PeakSequences = _executor.PeakSequences,
        Preemptions = _scheduler.Preemptions,
        PagesUsed = _pool?.InUse ?? 0,
        PeakPagesUsed = _pool?.PeakInUse ?? 0,
        PagesTotal = _pool?.PageCount ?? 0,
        StreamingPagesUsed = _streaming?.Pages.InUse ?? 0,
        PeakStreamingPagesUsed = _streaming?.Pages.PeakInUse ?? 0,
        StreamingPagesTotal = _streaming?.Pages.PageCount ?? 0,
        StreamingPagesReturned = _streaming?.Returned ?? 0,
        AdapterBytes = AdapterBytes(),
        IsLossless = _speculator?.IsLossless ?? true,
        Speculation = _speculator?.Statistics(_scheduler.Running),
    };

    private void FailAll()
    {
        List<Sequence> pending = [.. _scheduler.Running, .. _scheduler.Waiting];
        while (_incoming.Reader.TryRead(out Sequence? sequence))
        {
            if (sequence is not null)
            {
                pending.Add(sequence);
            }
        }

        foreach (Sequence sequence in pending)
        {
            _scheduler.Remove(sequence);
        }

        _failed += pending.Count;
        PublishStatistics();
        foreach (Sequence sequence in pending)
        {
            sequence.Registration.Unregister();
            sequence.Fail(Stopped());
        }
    }

    private Exception Stopped() => _fault is { } fault
        ? new InferenceException($"the engine stopped: {fault.Message}", fault)
        : new ObjectDisposedException(nameof(InferenceEngine));
}
