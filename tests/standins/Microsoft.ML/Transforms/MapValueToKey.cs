using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Transforms;

namespace Microsoft.ML
{
    /// <summary>Conversions.</summary>
    public static partial class ConversionsExtensionsCatalog
    {
        public static ValueToKeyMappingEstimator MapValueToKey(
            this TransformsCatalog.ConversionTransforms catalog,
            string outputColumnName,
            string inputColumnName = null,
            int maximumNumberOfKeys = 1000000,
            ValueToKeyMappingEstimator.KeyOrdinality keyOrdinality = ValueToKeyMappingEstimator.KeyOrdinality.ByOccurrence,
            bool addKeyValueAnnotationsAsText = false,
            IDataView keyData = null) =>
            new(outputColumnName, inputColumnName ?? outputColumnName, keyData);
    }
}

namespace Microsoft.ML.Transforms
{
    /// <summary>Text to keys in the order of first occurrence, in the key data or in the data fitted on.</summary>
    public sealed class ValueToKeyMappingEstimator : IEstimator<ValueToKeyMappingTransformer>
    {
        private readonly string output;
        private readonly string input;
        private readonly IDataView keyData;

        internal ValueToKeyMappingEstimator(string output, string input, IDataView keyData)
        {
            this.output = output;
            this.input = input;
            this.keyData = keyData;
        }

        /// <summary>The order of the keys.</summary>
        public enum KeyOrdinality : byte
        {
            ByOccurrence = 0,
            ByValue = 1,
        }

        public ValueToKeyMappingTransformer Fit(IDataView input)
        {
            IDataView view = keyData ?? input;
            DataViewSchema.Column column = keyData is not null ? keyData.Schema[0] : input.Schema[this.input];
            var keys = new List<string>();
            using DataViewRowCursor cursor = view.GetRowCursor([column]);
            ValueGetter<ReadOnlyMemory<char>> getter = cursor.GetGetter<ReadOnlyMemory<char>>(column);
            ReadOnlyMemory<char> text = default;
            while (cursor.MoveNext())
            {
                getter(ref text);
                string key = text.ToString();
                if (key.Length > 0 && !keys.Contains(key))
                {
                    keys.Add(key);
                }
            }

            return new ValueToKeyMappingTransformer(output, this.input, [.. keys]);
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            ShapeEditor.Find(inputSchema, input);
            var values = new SchemaShape([new SchemaShape.Column(
                SchemaAnnotationsExtensions.KeyValues, SchemaShape.Column.VectorKind.Vector, TextDataViewType.Instance, false)]);
            return ShapeEditor.With(
                inputSchema, new SchemaShape.Column(output, SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, true, values));
        }
    }

    /// <summary>Text to keys.</summary>
    public sealed class ValueToKeyMappingTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "TermTransform";
        private readonly string output;
        private readonly string input;
        private readonly string[] keys;

        internal ValueToKeyMappingTransformer(string output, string input, string[] keys)
        {
            this.output = output;
            this.input = input;
            this.keys = keys;
        }

        internal static ValueToKeyMappingTransformer Load(ModelLoadContext ctx) => new(
            ctx.Reader.ReadString(), ctx.Reader.ReadString(), [.. Enumerable.Range(0, ctx.Reader.ReadInt32()).Select(_ => ctx.Reader.ReadString())]);

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(schema, Find(schema, input), output, keys);

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(output);
            ctx.Writer.Write(input);
            ctx.Writer.Write(keys.Length);
            foreach (string key in keys)
            {
                ctx.Writer.Write(key);
            }
        }

        private sealed class Binding(DataViewSchema schema, DataViewSchema.Column source, string output, string[] keys)
            : RowBinding(schema, schema, [Describe(output, keys)])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive)
            {
                if (!isActive(0))
                {
                    return [null];
                }

                ValueGetter<ReadOnlyMemory<char>> getter = input.GetGetter<ReadOnlyMemory<char>>(source);
                ReadOnlyMemory<char> text = default;
                ValueGetter<uint> mapped = (ref uint value) =>
                {
                    getter(ref text);
                    value = (uint)(Array.IndexOf(keys, text.ToString()) + 1);
                };
                return [mapped];
            }

            protected override IEnumerable<int> Dependencies(int added) => [source.Index];

            private static DataViewSchema.DetachedColumn Describe(string output, string[] keys)
            {
                var annotations = new DataViewSchema.Annotations.Builder();
                annotations.Add(
                    SchemaAnnotationsExtensions.KeyValues,
                    new VectorDataViewType(TextDataViewType.Instance, keys.Length),
                    (ref VBuffer<ReadOnlyMemory<char>> values) => values = new VBuffer<ReadOnlyMemory<char>>(keys.Length, [.. keys.Select(key => key.AsMemory())]));
                return new DataViewSchema.DetachedColumn(output, new KeyDataViewType(typeof(uint), keys.Length), annotations.ToAnnotations());
            }
        }
    }
}
