using System.Reflection;
using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Runtime;
using Microsoft.ML.Transforms;

namespace Microsoft.ML
{
    /// <summary>Mappings written by the user.</summary>
    public static class CustomMappingCatalog
    {
        public static CustomMappingEstimator<TSrc, TDst> CustomMapping<TSrc, TDst>(
            this TransformsCatalog catalog,
            Action<TSrc, TDst> mapAction,
            string contractName,
            SchemaDefinition inputSchemaDefinition = null,
            SchemaDefinition outputSchemaDefinition = null)
            where TSrc : class, new()
            where TDst : class, new() =>
            new(new CustomMappingTransformer<TSrc, TDst>(mapAction, contractName, inputSchemaDefinition, outputSchemaDefinition));
    }
}

namespace Microsoft.ML.Transforms
{
    /// <summary>Names the contract under which a saved model finds the factory.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class CustomMappingFactoryAttributeAttribute(string contractName) : ExtensionBaseAttribute(contractName);

    /// <summary>Makes the mapping of a loaded model.</summary>
    public abstract class CustomMappingFactory<TSrc, TDst> : ICustomMappingFactory
        where TSrc : class, new()
        where TDst : class, new()
    {
        public abstract Action<TSrc, TDst> GetMapping();

        ITransformer ICustomMappingFactory.Create(string contractName) => new CustomMappingTransformer<TSrc, TDst>(GetMapping(), contractName, null, null);
    }

    internal interface ICustomMappingFactory
    {
        ITransformer Create(string contractName);
    }

    internal static class CustomMappingContract
    {
        public const string Signature = "CustomTransformer";

        public static ITransformer Load(IHostEnvironment env, ModelLoadContext ctx)
        {
            string contract = ctx.Reader.ReadString();
            env.ComponentCatalog.RegisterAssembly(Assembly.Load(ctx.Reader.ReadString()));
            return ((ICustomMappingFactory)env.ComponentCatalog.Extension(contract)).Create(contract);
        }
    }

    /// <summary>A mapping written by the user.</summary>
    public sealed class CustomMappingEstimator<TSrc, TDst> : TrivialEstimator<CustomMappingTransformer<TSrc, TDst>>
        where TSrc : class, new()
        where TDst : class, new()
    {
        internal CustomMappingEstimator(CustomMappingTransformer<TSrc, TDst> transformer)
            : base(transformer)
        {
        }

        public override SchemaShape GetOutputSchema(SchemaShape inputSchema)
        {
            foreach (RowMember member in Transformer.Inputs)
            {
                SchemaShape.Column expected = SchemaShape.Column.Of(member.Column.ColumnName, member.Column.ColumnType, null);
                SchemaShape.Column found = ShapeEditor.Find(inputSchema, expected.Name);
                bool kindFits = expected.Kind == found.Kind
                    || (expected.Kind == SchemaShape.Column.VectorKind.VariableVector && found.Kind == SchemaShape.Column.VectorKind.Vector);
                if (!kindFits || !expected.ItemType.Equals(found.ItemType) || expected.IsKey != found.IsKey)
                {
                    throw new ArgumentOutOfRangeException(
                        nameof(inputSchema), $"Schema mismatch for input column '{expected.Name}': expected {expected.TypeString}, got {found.TypeString}");
                }
            }

            return ShapeEditor.With(inputSchema, SchemaShape.Create(ObjectRow<TDst>.SchemaOf(Transformer.Outputs)));
        }
    }

    /// <summary>A mapping written by the user: called once per row, and only where one of its outputs is asked for.</summary>
    public sealed class CustomMappingTransformer<TSrc, TDst> : RowToRowTransformerBase
        where TSrc : class, new()
        where TDst : class, new()
    {
        private readonly Action<TSrc, TDst> mapping;
        private readonly string contract;
        private readonly SchemaDefinition inputDefinition;

        internal CustomMappingTransformer(Action<TSrc, TDst> mapping, string contract, SchemaDefinition inputDefinition, SchemaDefinition outputDefinition)
        {
            this.mapping = mapping;
            this.contract = contract;
            this.inputDefinition = inputDefinition;
            Inputs = RowMember.Of(typeof(TSrc), inputDefinition, SchemaDefinition.Direction.Read);
            Outputs = RowMember.Of(typeof(TDst), outputDefinition, SchemaDefinition.Direction.Write);
        }

        internal RowMember[] Inputs { get; }

        internal RowMember[] Outputs { get; }

        internal override RowBinding Bind(DataViewSchema schema) => new Binding(this, schema);

        private protected override void Save(ModelSaveContext ctx)
        {
            ctx.Begin(CustomMappingContract.Signature);
            ctx.Writer.Write(contract ?? throw new InvalidOperationException("Empty contract name for a transform: the transform cannot be saved"));
            ctx.Writer.Write(mapping.Method.DeclaringType.Assembly.FullName);
        }

        private sealed class Binding : RowBinding
        {
            private readonly CustomMappingTransformer<TSrc, TDst> parent;
            private readonly int[] dependencies;

            public Binding(CustomMappingTransformer<TSrc, TDst> parent, DataViewSchema schema)
                : base(schema, schema, [.. parent.Outputs.Select(output => output.Column.Detach())])
            {
                this.parent = parent;
                dependencies = [.. RowWriter.Match<TSrc>(schema, ignoreMissing: false, parent.inputDefinition).Select(match => match.Column.Index)];
            }

            public override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive)
            {
                var getters = new Delegate[parent.Outputs.Length];
                if (!Enumerable.Range(0, getters.Length).Any(isActive))
                {
                    return getters;
                }

                Action<TSrc>[] setters = RowWriter.Setters<TSrc>(input, ignoreMissing: false, parent.inputDefinition);
                var source = new TSrc();
                var target = new TDst();
                long served = -1;
                TDst Current()
                {
                    if (served != input.Position)
                    {
                        foreach (Action<TSrc> setter in setters)
                        {
                            setter(source);
                        }

                        parent.mapping(source, target);
                        served = input.Position;
                    }

                    return target;
                }

                for (int i = 0; i < getters.Length; i++)
                {
                    getters[i] = isActive(i) ? parent.Outputs[i].Getter(Current) : null;
                }

                return getters;
            }

            protected override IEnumerable<int> Dependencies(int added) => dependencies;
        }
    }
}
