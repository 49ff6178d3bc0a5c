using System.Collections;
using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Runtime;

namespace Microsoft.ML
{
    /// <summary>Appends steps to steps.</summary>
    public static class LearningPipelineExtensions
    {
        public static EstimatorChain<TTrans> Append<TTrans>(
            this IEstimator<ITransformer> start, IEstimator<TTrans> estimator, TransformerScope scope = TransformerScope.Everything)
            where TTrans : class, ITransformer =>
            start is EstimatorChain<ITransformer> chain
                ? chain.Append(estimator, scope)
                : new EstimatorChain<ITransformer>().Append(start).Append(estimator, scope);

        public static TransformerChain<TTrans> Append<TTrans>(this ITransformer start, TTrans transformer)
            where TTrans : class, ITransformer => new(start, transformer);
    }
}

namespace Microsoft.ML.Data
{
    /// <summary>Where a step of a chain takes part.</summary>
    [Flags]
    public enum TransformerScope
    {
        None = 0,
        Training = 1,
        Testing = 2,
        Scoring = 4,
        TrainTest = Training | Testing,
        Everything = Training | Testing | Scoring,
    }

    /// <summary>Estimators one after another.</summary>
    public sealed class EstimatorChain<TLastTransformer> : IEstimator<TransformerChain<TLastTransformer>>
        where TLastTransformer : class, ITransformer
    {
        public readonly IEstimator<TLastTransformer> LastEstimator;

        private readonly (IEstimator<ITransformer> Estimator, TransformerScope Scope)[] steps;

        public EstimatorChain()
            : this([])
        {
        }

        private EstimatorChain((IEstimator<ITransformer> Estimator, TransformerScope Scope)[] steps)
        {
            this.steps = steps;
            LastEstimator = steps.LastOrDefault().Estimator as IEstimator<TLastTransformer>;
        }

        public EstimatorChain<TNewTrans> Append<TNewTrans>(IEstimator<TNewTrans> estimator, TransformerScope scope = TransformerScope.Everything)
            where TNewTrans : class, ITransformer => new([.. steps, (estimator, scope)]);

        public TransformerChain<TLastTransformer> Fit(IDataView input)
        {
            GetOutputSchema(SchemaShape.Create(input.Schema));
            IDataView current = input;
            var transformers = new List<ITransformer>();
            foreach ((IEstimator<ITransformer> estimator, _) in steps)
            {
                ITransformer transformer = estimator.Fit(current);
                transformers.Add(transformer);
                current = transformer.Transform(current);
            }

            return new TransformerChain<TLastTransformer>(transformers, steps.Select(step => step.Scope));
        }

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) =>
            steps.Aggregate(inputSchema, (shape, step) => step.Estimator.GetOutputSchema(shape));
    }

    /// <summary>Transformers one after another.</summary>
    public sealed class TransformerChain<TLastTransformer> : ITransformer, IEnumerable<ITransformer>, IDisposable
        where TLastTransformer : class, ITransformer
    {
        public readonly TLastTransformer LastTransformer;

        private readonly ITransformer[] transformers;
        private readonly TransformerScope[] scopes;

        public TransformerChain(IEnumerable<ITransformer> transformers, IEnumerable<TransformerScope> scopes)
        {
            this.transformers = [.. transformers];
            this.scopes = [.. scopes];
            if (this.transformers.Length != this.scopes.Length)
            {
                throw new ArgumentException($"{this.transformers.Length} transformers but {this.scopes.Length} scopes", nameof(scopes));
            }

            LastTransformer = this.transformers.LastOrDefault() as TLastTransformer;
        }

        public TransformerChain(params ITransformer[] transformers)
            : this(transformers, transformers.Select(_ => TransformerScope.Everything))
        {
        }

        bool ITransformer.IsRowToRowMapper => transformers.All(transformer => transformer.IsRowToRowMapper);

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => Scoring.Aggregate(inputSchema, (schema, t) => t.GetOutputSchema(schema));

        public IDataView Transform(IDataView input)
        {
            GetOutputSchema(input.Schema);
            return Scoring.Aggregate(input, (view, t) => t.Transform(view));
        }

        public TransformerChain<ITransformer> GetModelFor(TransformerScope scopeFilter)
        {
            IEnumerable<int> kept = Enumerable.Range(0, transformers.Length).Where(i => (scopes[i] & scopeFilter) != TransformerScope.None);
            return new TransformerChain<ITransformer>(kept.Select(i => transformers[i]), kept.Select(i => scopes[i]));
        }

        public TransformerChain<TNewLast> Append<TNewLast>(TNewLast transformer, TransformerScope scope = TransformerScope.Everything)
            where TNewLast : class, ITransformer => new([.. transformers, transformer], [.. scopes, scope]);

        public IEnumerator<ITransformer> GetEnumerator() => ((IEnumerable<ITransformer>)transformers).GetEnumerator();

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema)
        {
            var mappers = new List<IRowToRowMapper>();
            foreach (ITransformer transformer in transformers)
            {
                mappers.Add(transformer.GetRowToRowMapper(mappers.Count == 0 ? inputSchema : mappers[^1].OutputSchema));
            }

            return new CompositeMapper(inputSchema, [.. mappers]);
        }

        void ICanSaveModel.Save(ModelSaveContext ctx)
        {
            ctx.Begin(TransformerChain.Signature);
            ctx.Writer.Write(transformers.Length);
            for (int i = 0; i < transformers.Length; i++)
            {
                ctx.Writer.Write((int)scopes[i]);
                ctx.SaveModel(transformers[i], $"Transform_{i:000}");
            }
        }

        public void Dispose()
        {
            foreach (ITransformer transformer in transformers)
            {
                (transformer as IDisposable)?.Dispose();
            }
        }

        private TransformerChain<ITransformer> Scoring => GetModelFor(TransformerScope.Scoring);
    }

    internal static class TransformerChain
    {
        public const string Signature = "TransformerChain";

        public static ITransformer Load(IHostEnvironment env, ModelLoadContext ctx)
        {
            int count = ctx.Reader.ReadInt32();
            var transformers = new ITransformer[count];
            var scopes = new TransformerScope[count];
            for (int i = 0; i < count; i++)
            {
                scopes[i] = (TransformerScope)ctx.Reader.ReadInt32();
                transformers[i] = ctx.LoadModel(env, $"Transform_{i:000}");
            }

            return new TransformerChain<ITransformer>(transformers, scopes);
        }
    }
}
