namespace LongCat.ML;

/// <summary>What to do with a row that the engine cannot run.</summary>
public enum FailingRow
{
    /// <summary>Reading the row throws a <see cref="RowFailedException"/> that names the row and the column. The default.</summary>
    Fail,

    /// <summary>The row gets the outputs of an empty row (finish reason <c>error</c>), a warning goes to <c>MLContext.Log</c>, and the other rows are not touched.</summary>
    Empty,
}
