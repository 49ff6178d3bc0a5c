using System.Globalization;
using System.Text;
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
    /// <summary>A constant column: the only expressions this stand-in knows are of the forms <c>x : "text"</c>, <c>x : -1</c>, <c>x : -1L</c> and <c>x : -1f</c>.</summary>
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

            return ShapeEditor.With(inputSchema, SchemaShape.Column.Of(output, ExpressionTransformer.TypeOf(ExpressionTransformer.Parse(expression)), null));
        }
    }

    /// <summary>A constant column.</summary>
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
            constant = Parse(expression);
        }

        internal static ExpressionTransformer Load(ModelLoadContext ctx) => new(
            ctx.Reader.ReadString(), ctx.Reader.ReadString(), [.. Enumerable.Range(0, ctx.Reader.ReadInt32()).Select(_ => ctx.Reader.ReadString())]);

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(schema, [.. inputs.Select(name => Find(schema, name).Index)], output, constant);

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

        internal static DataViewType TypeOf(object constant) => constant is string ? TextDataViewType.Instance : PrimitiveDataViewType.From(constant.GetType());

        internal static object Parse(string expression)
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

            return body.EndsWith('f') && float.TryParse(body[..^1], CultureInfo.InvariantCulture, out float single) ? single : ParseText(expression);
        }

        private static string ParseText(string expression)
        {
            int open = expression.IndexOf('"', StringComparison.Ordinal);
            string head = open < 0 ? expression : expression[..open];
            if (open < 0 || !head.TrimEnd().EndsWith(':') || !expression.EndsWith('"'))
            {
                throw new ArgumentException($"The stand-in knows constants only, not: {expression}", nameof(expression));
            }

            var text = new StringBuilder();
            for (int i = open + 1; i < expression.Length - 1; i++)
            {
                char c = expression[i];
                if (c is '"' or '\n' or '\r')
                {
                    throw new ArgumentException($"Unescaped character U+{(int)c:X4} at {i} in a text constant", nameof(expression));
                }

                if (c != '\\')
                {
                    text.Append(c);
                    continue;
                }

                c = expression[++i];
                if (c == 'u')
                {
                    text.Append((char)ushort.Parse(expression.AsSpan(i + 1, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                    i += 4;
                    continue;
                }

                text.Append(c switch
                {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '"' or '\\' or '\'' => c,
                    _ => throw new ArgumentException($"Unknown escape '\\{c}' at {i} in a text constant", nameof(expression)),
                });
            }

            return text.ToString();
        }

        private sealed class Binding(DataViewSchema schema, int[] inputs, string output, object constant)
            : RowBinding(schema, schema, [new DataViewSchema.DetachedColumn(output, TypeOf(constant))])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive) =>
                [!isActive(0) ? null : constant switch
                {
                    int integer => Constant(integer),
                    long number => Constant(number),
                    float single => Constant(single),
                    _ => Constant(((string)constant).AsMemory()),
                }];

            protected override IEnumerable<int> Dependencies(int added) => inputs;

            private static Delegate Constant<T>(T constant) => (ValueGetter<T>)((ref T value) => value = constant);
        }
    }
}
