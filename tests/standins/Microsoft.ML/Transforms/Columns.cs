using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Transforms;

namespace Microsoft.ML
{
    /// <summary>Copies, joins and drops columns.</summary>
    public static class TransformExtensionsCatalog
    {
        public static ColumnCopyingEstimator CopyColumns(this TransformsCatalog catalog, string outputColumnName, string inputColumnName) =>
            new(outputColumnName, inputColumnName);

        public static ColumnConcatenatingEstimator Concatenate(this TransformsCatalog catalog, string outputColumnName, params string[] inputColumnNames) =>
            new(outputColumnName, inputColumnNames);

        public static ColumnSelectingEstimator DropColumns(this TransformsCatalog catalog, params string[] columnNames) => new(columnNames);
    }
}

namespace Microsoft.ML.Transforms
{
    /// <summary>Gives a column a second name.</summary>
    public sealed class ColumnCopyingEstimator : TrivialEstimator<ColumnCopyingTransformer>
    {
        private readonly string output;
        private readonly string input;

        internal ColumnCopyingEstimator(string output, string input)
            : base(new ColumnCopyingTransformer(output, input))
        {
            this.output = output;
            this.input = input;
        }

        public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            SchemaShape.Column source = ShapeEditor.Find(inputSchema, input);
            return ShapeEditor.With(inputSchema, new SchemaShape.Column(output, source.Kind, source.ItemType, source.IsKey, source.Annotations));
        }
    }

    /// <summary>Gives a column a second name.</summary>
    public sealed class ColumnCopyingTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "CopyTransform";
        private readonly string output;
        private readonly string input;

        internal ColumnCopyingTransformer(string output, string input)
        {
            this.output = output;
            this.input = input;
        }

        internal static ColumnCopyingTransformer Load(ModelLoadContext ctx) => new(ctx.Reader.ReadString(), ctx.Reader.ReadString());

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(schema, Find(schema, input), output);

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(output);
            ctx.Writer.Write(input);
        }

        private sealed class Binding(DataViewSchema schema, DataViewSchema.Column source, string output)
            : RowBinding(schema, schema, [new DataViewSchema.DetachedColumn(output, source.Type, source.Annotations)])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive) =>
                [isActive(0) ? (Delegate)typeof(DataViewRow).GetMethod(nameof(DataViewRow.GetGetter)).MakeGenericMethod(source.Type.RawType).Invoke(input, [source]) : null];

            protected override IEnumerable<int> Dependencies(int added) => [source.Index];
        }
    }

    /// <summary>Drops columns.</summary>
    public sealed class ColumnSelectingEstimator : TrivialEstimator<ColumnSelectingTransformer>
    {
        private readonly string[] dropped;

        internal ColumnSelectingEstimator(string[] dropped)
            : base(new ColumnSelectingTransformer(dropped)) => this.dropped = dropped;

        public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            foreach (string name in dropped)
            {
                ShapeEditor.Find(inputSchema, name);
            }

            return new SchemaShape(inputSchema.Where(column => !dropped.Contains(column.Name)));
        }
    }

    /// <summary>Drops columns, and those hidden behind them.</summary>
    public sealed class ColumnSelectingTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "SelectColumnsTransform";
        private readonly string[] dropped;

        internal ColumnSelectingTransformer(string[] dropped) => this.dropped = dropped;

        internal static ColumnSelectingTransformer Load(ModelLoadContext ctx) =>
            new([.. Enumerable.Range(0, ctx.Reader.ReadInt32()).Select(_ => ctx.Reader.ReadString())]);

        internal override RowBinding Bind(DataViewSchema schema)
        {
            foreach (string name in dropped)
            {
                Find(schema, name);
            }

            return new Binding(schema, schema.Where(column => !dropped.Contains(column.Name)));
        }

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(dropped.Length);
            foreach (string name in dropped)
            {
                ctx.Writer.Write(name);
            }
        }

        private sealed class Binding(DataViewSchema schema, IEnumerable<DataViewSchema.Column> kept) : RowBinding(schema, kept, [])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive) => [];

            protected override IEnumerable<int> Dependencies(int added) => [];
        }
    }

    /// <summary>Changes shapes.</summary>
    internal static class ShapeEditor
    {
        public static SchemaShape.Column Find(SchemaShape shape, string name) => shape.Any(column => column.Name == name)
            ? shape.First(column => column.Name == name)
            : throw new ArgumentOutOfRangeException(nameof(shape), $"Could not find input column '{name}'");

        public static SchemaShape With(SchemaShape shape, params IEnumerable<SchemaShape.Column> added)
        {
            var columns = shape.ToDictionary(column => column.Name);
            foreach (SchemaShape.Column column in added)
            {
                columns[column.Name] = column;
            }

            return new SchemaShape(columns.Values);
        }
    }
}
