using Microsoft.ML.Data;
using Microsoft.ML.Rows;

namespace Microsoft.ML;

/// <summary>What the prediction engines share.</summary>
public abstract class PredictionEngineBase<TSrc, TDst> : IDisposable
    where TSrc : class
    where TDst : class, new()
{
    private readonly ObjectRow<TSrc> input;
    private readonly Action<TDst>[] setters;
    private readonly ITransformer transformer;

    private protected PredictionEngineBase(ITransformer transformer, bool ignoreMissingColumns, SchemaDefinition inputDefinition, SchemaDefinition outputDefinition)
    {
        if (!transformer.IsRowToRowMapper)
        {
            throw new ArgumentException("Must be a row to row mapper", nameof(transformer));
        }

        this.transformer = transformer;
        input = new ObjectRow<TSrc>(inputDefinition);
        IRowToRowMapper mapper = transformer.GetRowToRowMapper(input.Schema);
        OutputSchema = mapper.OutputSchema;
        DataViewRow output = mapper.GetRow(input, mapper.OutputSchema);
        setters = RowWriter.Setters<TDst>(output, ignoreMissingColumns, outputDefinition);
    }

    public DataViewSchema OutputSchema { get; }

    public TDst Predict(TSrc example)
    {
        var prediction = new TDst();
        Predict(example, ref prediction);
        return prediction;
    }

    public abstract void Predict(TSrc example, ref TDst prediction);

    public void Dispose() => (transformer as IDisposable)?.Dispose();

    private protected void Run(TSrc example, TDst prediction)
    {
        input.Set(example);
        foreach (Action<TDst> setter in setters)
        {
            setter(prediction);
        }
    }
}

/// <summary>Runs a pipeline on one object at a time; for one thread at a time.</summary>
public sealed class PredictionEngine<TSrc, TDst> : PredictionEngineBase<TSrc, TDst>
    where TSrc : class
    where TDst : class, new()
{
    internal PredictionEngine(ITransformer transformer, bool ignoreMissingColumns, SchemaDefinition inputDefinition, SchemaDefinition outputDefinition)
        : base(transformer, ignoreMissingColumns, inputDefinition, outputDefinition)
    {
    }

    public override void Predict(TSrc example, ref TDst prediction)
    {
        prediction ??= new TDst();
        Run(example, prediction);
    }
}
