using System.Globalization;
using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Transforms;

namespace Microsoft.ML
{
    /// <summary>Expressions over columns.</summary>
    public static class ExpressionCatalog
    {
        public static ExpressionEstimator Expression(this TransformsCatalog catalog, string outputColumnName, string expression, params string[] inputColumnNames) =>
            new(outputColumnName, expression, inputColumnNames);
    }
}

namespace Microsoft.ML.Transforms
{
    /// <summary>
    /// A constant column, or text put together: the only expressions this stand-in knows are of the forms <c>x : -1</c>, <c>x : -1L</c> and <c>x : -1f</c>,
    /// and those of <see cref="TextExpression"/>.
    /// </summary>
    public sealed class ExpressionEstimator : IEstimator<ExpressionTransformer>
    {
        private readonly string output;
        private readonly string expression;
        private readonly string[] inputs;

        internal ExpressionEstimator(string output, string expression, string[] inputs)
        {
            this.output = output;
            this.expression = expression;
            this.inputs = inputs;
        }

        public ExpressionTransformer Fit(IDataView input) => new(output, expression, inputs);

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            foreach (string name in inputs)
            {
                ShapeEditor.Find(inputSchema, name);
            }

            return ShapeEditor.With(inputSchema, SchemaShape.Column.Of(output, ExpressionTransformer.TypeOf(ExpressionTransformer.Parse(expression, inputs.Length)), null));
        }
    }

    /// <summary>A constant column, or text put together.</summary>
    public sealed class ExpressionTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "ExprTransform";
        private readonly string output;
        private readonly string expression;
        private readonly string[] inputs;
        private readonly object constant;

        internal ExpressionTransformer(string output, string expression, string[] inputs)
        {
            this.output = output;
            this.expression = expression;
            this.inputs = inputs;
            constant = Parse(expression, inputs.Length);
        }

        internal static ExpressionTransformer Load(ModelLoadContext ctx) => new(
            ctx.Reader.ReadString(), ctx.Reader.ReadString(), [.. Enumerable.Range(0, ctx.Reader.ReadInt32()).Select(_ => ctx.Reader.ReadString())]);

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(schema, [.. inputs.Select(name => Find(schema, name))], output, constant);

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(output);
            ctx.Writer.Write(expression);
            ctx.Writer.Write(inputs.Length);
            foreach (string name in inputs)
            {
                ctx.Writer.Write(name);
            }
        }

        internal static DataViewType TypeOf(object constant) => constant is TextExpression ? TextDataViewType.Instance : PrimitiveDataViewType.From(constant.GetType());

        internal static object Parse(string expression, int inputs)
        {
            string body = expression[(expression.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
            if (int.TryParse(body, CultureInfo.InvariantCulture, out int integer))
            {
                return integer;
            }

            if (body.EndsWith('L') && long.TryParse(body[..^1], CultureInfo.InvariantCulture, out long number))
            {
                return number;
            }

            return body.EndsWith('f') && float.TryParse(body[..^1], CultureInfo.InvariantCulture, out float single) ? single : new TextExpression(expression, inputs);
        }

        private sealed class Binding(DataViewSchema schema, DataViewSchema.Column[] inputs, string output, object constant)
            : RowBinding(schema, schema, [new DataViewSchema.DetachedColumn(output, TypeOf(constant))])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive) =>
                [!isActive(0) ? null : constant switch
                {
                    int integer => Constant(integer),
                    long number => Constant(number),
                    float single => Constant(single),
                    _ => Text((TextExpression)constant, input),
                }];

            protected override IEnumerable<int> Dependencies(int added) => inputs.Select(column => column.Index);

            private static Delegate Constant<T>(T constant) => (ValueGetter<T>)((ref T value) => value = constant);

            private Delegate Text(TextExpression expression, DataViewRow input)
            {
                ValueGetter<ReadOnlyMemory<char>>[] getters =
                    [.. inputs.Select((column, i) => expression.Uses(i) ? input.GetGetter<ReadOnlyMemory<char>>(column) : null)];
                var values = new ReadOnlyMemory<char>[getters.Length];
                ValueGetter<ReadOnlyMemory<char>> evaluated = (ref ReadOnlyMemory<char> value) =>
                {
                    for (int i = 0; i < getters.Length; i++)
                    {
                        getters[i]?.Invoke(ref values[i]);
                    }

                    value = expression.Evaluate(values);
                };
                return evaluated;
            }
        }
    }
}
