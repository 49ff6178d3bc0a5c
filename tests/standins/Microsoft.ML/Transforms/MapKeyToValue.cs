using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Transforms;

namespace Microsoft.ML
{
    /// <summary>Conversions.</summary>
    public static partial class ConversionsExtensionsCatalog
    {
        public static KeyToValueMappingEstimator MapKeyToValue(
            this TransformsCatalog.ConversionTransforms catalog, string outputColumnName, string inputColumnName = null) =>
            new(outputColumnName, inputColumnName ?? outputColumnName);
    }
}

namespace Microsoft.ML.Transforms
{
    /// <summary>Keys back to the text that they stand for: of scalar columns alone.</summary>
    public sealed class KeyToValueMappingEstimator : TrivialEstimator<KeyToValueMappingTransformer>
    {
        private readonly string output;
        private readonly string input;

        internal KeyToValueMappingEstimator(string output, string input)
            : base(new KeyToValueMappingTransformer(output, input))
        {
            this.output = output;
            this.input = input;
        }

        public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            SchemaShape.Column source = ShapeEditor.Find(inputSchema, input);
            if (!source.IsKey)
            {
                throw new ArgumentOutOfRangeException(nameof(inputSchema), $"Schema mismatch for input column '{input}': expected KeyType, got {source.TypeString}");
            }

            SchemaShape annotations = source.Annotations;
            return annotations is not null && annotations.Any(column => column.Name == SchemaAnnotationsExtensions.KeyValues)
                ? ShapeEditor.With(inputSchema, new SchemaShape.Column(output, source.Kind, TextDataViewType.Instance, false))
                : throw new ArgumentException($"Input column '{input}' doesn't contain key values metadata", nameof(inputSchema));
        }
    }

    /// <summary>Keys back to text.</summary>
    public sealed class KeyToValueMappingTransformer : RowToRowTransformerBase
    {
        internal const string Signature = "KeyToValueTransform";
        private readonly string output;
        private readonly string input;

        internal KeyToValueMappingTransformer(string output, string input)
        {
            this.output = output;
            this.input = input;
        }

        internal static KeyToValueMappingTransformer Load(ModelLoadContext ctx) => new(ctx.Reader.ReadString(), ctx.Reader.ReadString());

        internal override RowBinding Bind(DataViewSchema schema)
        {
            DataViewSchema.Column source = Find(schema, input);
            return source.Type is KeyDataViewType && source.HasKeyValues()
                ? new Binding(schema, source, output)
                : throw new InvalidOperationException("Metadata KeyValues does not exist");
        }

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(Signature);
            ctx.Writer.Write(output);
            ctx.Writer.Write(input);
        }

        private sealed class Binding(DataViewSchema schema, DataViewSchema.Column source, string output)
            : RowBinding(schema, schema, [new DataViewSchema.DetachedColumn(output, TextDataViewType.Instance)])
        {
            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive)
            {
                if (!isActive(0))
                {
                    return [null];
                }

                VBuffer<ReadOnlyMemory<char>> values = default;
                source.GetKeyValues(ref values);
                ReadOnlyMemory<char>[] texts = [.. values.DenseValues()];
                ValueGetter<uint> getter = input.GetGetter<uint>(source);
                uint key = 0;

                // The missing key, 0, becomes the missing text, which is the empty one.
                ValueGetter<ReadOnlyMemory<char>> mapped = (ref ReadOnlyMemory<char> value) =>
                {
                    getter(ref key);
                    value = key > 0 && key <= texts.Length ? texts[key - 1] : default;
                };
                return [mapped];
            }

            protected override IEnumerable<int> Dependencies(int added) => [source.Index];
        }
    }
}
