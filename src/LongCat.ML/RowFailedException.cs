namespace LongCat.ML;

/// <summary>One row could not be run. The message names the row and the column; the inner exception says why.</summary>
public sealed class RowFailedException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="row">The row's position in its view, from 0; -1 where ML.NET does not tell it (a pipeline loaded by plain <c>Model.Load</c>).</param>
    /// <param name="column">The text column being read.</param>
    /// <param name="cause">What the engine said.</param>
    public RowFailedException(long row, string column, Exception cause)
        : base($"{(row < 0 ? "A row" : $"Row {row}")} failed on its column '{column}': {cause?.Message} (StepOptions.FailingRows can make such rows empty instead.)", cause)
    {
        Row = row;
        Column = column;
    }

    /// <summary>The row's position, or -1.</summary>
    public long Row { get; }

    /// <summary>The text column being read.</summary>
    public string Column { get; }
}
