using Microsoft.ML.Data;
using Microsoft.ML.Rows;

namespace Microsoft.ML.Transforms
{
    /// <summary>Joins values and vectors of one item type into a vector.</summary>
    public sealed class ColumnConcatenatingEstimator : IEstimator<ColumnConcatenatingTransformer>
    {
        private readonly string output;
        private readonly string[] inputs;

        internal ColumnConcatenatingEstimator(string output, string[] inputs)
        {
            this.output = output;
            this.inputs = inputs;
        }

        public ColumnConcatenatingTransformer Fit(IDataView input) => new(output, inputs);

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            SchemaShape.Column[] sources = [.. inputs.Select(name => ShapeEditor.Find(inputSchema, name))];
            if (sources.Any(source => source.IsKey || !source.ItemType.Equals(sources[0].ItemType)))
            {
                throw new ArgumentOutOfRangeException(nameof(inputSchema), $"Concatenated columns should have the same type: {string.Join(", ", sources.Select(source => $"{source.Name} {source.TypeString}"))}");
            }

            bool variable = sources.Any(source => source.Kind == SchemaShape.Column.VectorKind.VariableVector);
            return ShapeEditor.With(inputSchema, new SchemaShape.Column(
                output, variable ? SchemaShape.Column.VectorKind.VariableVector : SchemaShape.Column.VectorKind.Vector, sources[0].ItemType, false));
        }
    }
}

namespace Microsoft.ML.Data
{
    /// <summary>Joins values and vectors of one item type into a vector; of variable size where one of them is.</summary>
    public sealed class ColumnConcatenatingTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "ConcatTransform";
        private readonly string output;
        private readonly string[] inputs;

        internal ColumnConcatenatingTransformer(string output, string[] inputs)
        {
            this.output = output;
            this.inputs = inputs;
        }

        internal static ColumnConcatenatingTransformer Load(ModelLoadContext ctx) =>
            new(ctx.Reader.ReadString(), [.. Enumerable.Range(0, ctx.Reader.ReadInt32()).Select(_ => ctx.Reader.ReadString())]);

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(schema, [.. inputs.Select(name => Find(schema, name))], output);

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(output);
            ctx.Writer.Write(inputs.Length);
            foreach (string name in inputs)
            {
                ctx.Writer.Write(name);
            }
        }

        private sealed class Binding(DataViewSchema schema, DataViewSchema.Column[] sources, string output)
            : RowBinding(schema, schema, [new DataViewSchema.DetachedColumn(output, TypeOf(sources))])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive) => isActive(0)
                ? [(Delegate)typeof(Binding).GetMethod(nameof(Getter), System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic)
                    .MakeGenericMethod(((VectorDataViewType)OutputSchema[output].Type).ItemType.RawType).Invoke(this, [input])]
                : [null];

            protected override IEnumerable<int> Dependencies(int added) => sources.Select(source => source.Index);

            private static VectorDataViewType TypeOf(DataViewSchema.Column[] sources)
            {
                DataViewType[] items = [.. sources.Select(source => (source.Type as VectorDataViewType)?.ItemType ?? source.Type)];
                if (items.Any(item => !item.Equals(items[0])))
                {
                    throw new ArgumentOutOfRangeException(nameof(sources), $"Concatenated columns should have the same type: {string.Join(", ", sources.Select(source => $"{source.Name} {source.Type}"))}");
                }

                int[] sizes = [.. sources.Select(source => source.Type is VectorDataViewType vector ? vector.Size : 1)];
                return new VectorDataViewType((PrimitiveDataViewType)items[0], sizes.Contains(0) ? 0 : sizes.Sum());
            }

            private ValueGetter<VBuffer<T>> Getter<T>(DataViewRow input)
            {
                Func<IEnumerable<T>>[] parts = [.. sources.Select(source => Part<T>(input, source))];
                return (ref VBuffer<T> value) =>
                {
                    T[] joined = [.. parts.SelectMany(part => part())];
                    value = new VBuffer<T>(joined.Length, joined);
                };
            }

            private static Func<IEnumerable<T>> Part<T>(DataViewRow input, DataViewSchema.Column source)
            {
                if (source.Type is not VectorDataViewType vector)
                {
                    ValueGetter<T> one = input.GetGetter<T>(source);
                    return () =>
                    {
                        T value = default;
                        one(ref value);
                        return [value];
                    };
                }

                ValueGetter<VBuffer<T>> many = input.GetGetter<VBuffer<T>>(source);
                return () =>
                {
                    VBuffer<T> value = default;
                    many(ref value);
                    return !vector.IsKnownSize || value.Length == vector.Size
                        ? value.DenseValues()
                        : throw new InvalidOperationException($"Column '{source.Name}' had length {value.Length}, expected {vector.Size}");
                };
            }
        }
    }
}
