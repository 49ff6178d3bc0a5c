using System.Diagnostics;
using System.Runtime.ExceptionServices;
using LongCat.ML.Engines;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Rows;

/// <summary>
/// Reads ahead of its consumer: up to <see cref="StepOptions.MaxRowsInFlight"/> rows, the current one among them, are in the engine. A ring
/// keeps their passed-through values and their results; rows come out in the source's order. MoveNext does not wait for the engine,
/// the getters of the step's columns do.
/// </summary>
/// <remarks>For one thread at a time, as every cursor. Disposing cancels the rows in flight and gives the model back when they have ended.</remarks>
internal sealed class BatchedCursor : DataViewRowCursor
{
    private readonly StepSession session;
    private readonly DataViewRowCursor source;
    private readonly Lease<IDisposable> lease;
    private readonly Slot[] ring;
    private readonly List<Task> left = [];
    private readonly Dictionary<int, Delegate> getters = [];
    private readonly List<PassedColumn> passed = [];
    private readonly ValueGetter<DataViewRowId> readId;
    private readonly Func<RowTexts> readTexts;
    private int head;
    private int count;
    private State state = State.Before;
    private bool sourceEnded;
    private ExceptionDispatchInfo? failure;
    private readonly long started = Stopwatch.GetTimestamp();
    private long submitted;
    private bool disposed;

    public BatchedCursor(DataViewSchema schema, StepSession session, IDataView view, IEnumerable<DataViewSchema.Column> passedColumns, int[] active)
    {
        Schema = schema;
        this.session = session;
        DataViewSchema.Column[] kept = [.. passedColumns];
        DataViewSchema.Column[] inputs = [.. session.Step.Inputs.Select(input => view.Schema[input.Name])];
        lease = session.Acquire();
        try
        {
            source = view.GetRowCursor(kept.Concat(inputs).DistinctBy(column => column.Index));
            ring = new Slot[session.Step.Options.MaxRowsInFlight];
            readId = source.GetIdGetter();
            readTexts = session.Step.Bind(source, view.Schema);
            foreach (DataViewSchema.Column column in kept)
            {
                PassedColumn buffer = PassedColumn.Create(source, column, ring.Length);
                passed.Add(buffer);
                getters[column.Index] = buffer.Getter(CurrentPlace);
            }
        }
        catch
        {
            source?.Dispose();
            lease.Dispose();
            throw;
        }

        for (int i = 0; i < session.Step.Outputs.Count; i++)
        {
            int index = view.Schema.Count + i;
            if (active.Contains(index))
            {
                getters[index] = session.Step.Outputs[i].Getter(CurrentResult);
            }
        }
    }

    private enum State
    {
        Before,
        OnRow,
        After,
    }

    public override DataViewSchema Schema { get; }

    public override long Position => state == State.OnRow ? ring[head].Position : -1;

    public override long Batch => state == State.OnRow ? ring[head].Batch : 0;

    public override bool MoveNext()
    {
        if (disposed)
        {
            return false;
        }

        if (state == State.OnRow)
        {
            Leave();
        }

        while (count < ring.Length && !sourceEnded)
        {
            ReadAhead();
        }

        state = count > 0 ? State.OnRow : State.After;
        if (count == 0)
        {
            failure?.Throw();
        }

        return count > 0;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = ring[CurrentPlace()].Id;

    public override bool IsColumnActive(DataViewSchema.Column column) => getters.ContainsKey(column.Index);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!getters.TryGetValue(column.Index, out Delegate? getter))
        {
            Throw.InactiveColumn(column);
        }

        if (getter is not ValueGetter<TValue> typed)
        {
            Throw.WrongGetterType(column, typeof(TValue));
            return null;
        }

        return typed;
    }

    protected override void Dispose(bool disposing)
    {
        if (!disposing || disposed)
        {
            return;
        }

        disposed = true;
        state = State.After;
        foreach (Slot slot in ring)
        {
            slot.Cancellation?.Cancel();
        }

        Task[] rows = [.. ring.Select(slot => slot.Result).OfType<Task>(), .. left];
        source.Dispose();
        session.LogPass(submitted, Stopwatch.GetElapsedTime(started));

        // The model goes back when its last row has ended, not before; nobody waits for that here. Failures of rows that nobody read are nobody's.
        Task.WhenAll(rows).ContinueWith(
            ended =>
            {
                _ = ended.Exception;
                lease.Dispose();
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    /// <summary>Gives the current row's place back. A row that nobody waited for ends here: otherwise a reader that skips rows would fill the engine without bound.</summary>
    private void Leave()
    {
        ref Slot slot = ref ring[head];
        slot.Cancellation!.Cancel();
        left.RemoveAll(HasEnded);
        left.Add(slot.Result!);
        slot.Cancellation = null;
        slot.Result = null;
        head = (head + 1) % ring.Length;
        count--;
    }

    private static bool HasEnded(Task row)
    {
        // A failure of a row that nobody read is nobody's.
        _ = row.IsCompleted ? row.Exception : null;
        return row.IsCompleted;
    }

    /// <summary>Takes the next row of the source in. Where the source fails, the rows before the failing one are delivered first.</summary>
    private void ReadAhead()
    {
        try
        {
            sourceEnded = !source.MoveNext();
            if (!sourceEnded)
            {
                Submit();
            }
        }
        catch (Exception exception)
        {
            failure = ExceptionDispatchInfo.Capture(exception);
            sourceEnded = true;
        }
    }

    private void Submit()
    {
        int place = (head + count) % ring.Length;
        foreach (PassedColumn column in passed)
        {
            column.Capture(place);
        }

        ref Slot slot = ref ring[place];
        slot.Position = source.Position;
        slot.Batch = source.Batch;
        readId(ref slot.Id);
        RowTexts texts = readTexts();
        slot.Cancellation = new CancellationTokenSource();
        slot.Result = session.RunAsync(lease.Model, texts, slot.Position, slot.Cancellation.Token);
        count++;
        submitted++;
    }

    private int CurrentPlace()
    {
        if (state != State.OnRow)
        {
            Throw.NoCurrentRow();
        }

        return head;
    }

    private RowResult CurrentResult() => ring[CurrentPlace()].Result!.GetAwaiter().GetResult();

    private struct Slot
    {
        public long Position;
        public long Batch;
        public DataViewRowId Id;
        public CancellationTokenSource? Cancellation;
        public Task<RowResult>? Result;
    }
}
