using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Rows;

/// <summary>A step over single rows, as PredictionEngine asks for it.</summary>
internal sealed class StepRowMapper(DataViewSchema input, StepSession session) : IRowToRowMapper
{
    public DataViewSchema InputSchema => input;

    public DataViewSchema OutputSchema { get; } = StepSchema.Output(session.Step, input);

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new SortedSet<int>();
        foreach (DataViewSchema.Column column in dependingColumns)
        {
            if (column.Index < input.Count)
            {
                needed.Add(column.Index);
            }
            else
            {
                needed.UnionWith(session.Step.Inputs.Select(needed => input[needed.Name].Index));
            }
        }

        return [.. needed.Select(index => input[index])];
    }

    public DataViewRow GetRow(DataViewRow inputRow, IEnumerable<DataViewSchema.Column> activeColumns) =>
        new Row(this, session, inputRow, [.. activeColumns.Select(column => column.Index)]);

    /// <summary>Runs a row when one of the step's columns is read, once per position.</summary>
    private sealed class Row : DataViewRow
    {
        private readonly StepRowMapper mapper;
        private readonly StepSession session;
        private readonly DataViewRow input;
        private readonly HashSet<int> active;
        private readonly Func<RowTexts>? readTexts;
        private RowResult? result;
        private long served = -1;

        public Row(StepRowMapper mapper, StepSession session, DataViewRow input, HashSet<int> active)
        {
            this.mapper = mapper;
            this.session = session;
            this.input = input;
            this.active = active;
            if (active.Any(index => index >= mapper.InputSchema.Count))
            {
                readTexts = session.Step.Bind(input, mapper.InputSchema);
            }
        }

        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => mapper.OutputSchema;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) => active.Contains(column.Index);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            if (!IsColumnActive(column))
            {
                Throw.InactiveColumn(column);
            }

            if (column.Index < mapper.InputSchema.Count)
            {
                return input.GetGetter<TValue>(mapper.InputSchema[column.Index]);
            }

            if (session.Step.Outputs[column.Index - mapper.InputSchema.Count].Getter(Current) is not ValueGetter<TValue> getter)
            {
                Throw.WrongGetterType(column, typeof(TValue));
                return null;
            }

            return getter;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                input.Dispose();
            }
        }

        private RowResult Current()
        {
            if (input.Position < 0)
            {
                Throw.NoCurrentRow();
            }

            if (result is null || served != input.Position)
            {
                result = null;
                result = session.Run(readTexts!(), input.Position);
                served = input.Position;
            }

            return result;
        }
    }
}
