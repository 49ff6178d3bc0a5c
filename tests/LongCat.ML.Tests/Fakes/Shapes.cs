using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests.Fakes;

/// <summary>Shapes of views: a chain makes the shape of its input itself when it is fitted, and outsiders get one from an estimator that is asked while fitting.</summary>
internal static class Shapes
{
    public static SchemaShape Of(IDataView data)
    {
        var spy = new Spy();
        new EstimatorChain<ITransformer>().Append(spy).Fit(data);
        return spy.Seen!;
    }

    private sealed class Spy : IEstimator<ITransformer>
    {
        public SchemaShape? Seen { get; private set; }

        public ITransformer Fit(IDataView input) => new TransformerChain<ITransformer>();

        public SchemaShape GetOutputSchema(SchemaShape inputSchema) => Seen = inputSchema;
    }
}
