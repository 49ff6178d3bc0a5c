using System.Reflection;
using LongCat.ML.Models;
using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Saving;

/// <summary>Finds the saved form of steps in a loaded pipeline and puts batching transformers in their place.</summary>
internal static class ChainReader
{
    private static readonly TransformerScope[] SingleScopes = [TransformerScope.Training, TransformerScope.Testing, TransformerScope.Scoring];

    public static ITransformer Batched(MLContext context, ITransformer transformer, string? pipelineFolder)
    {
        if (SavedPipeline.Read(context, transformer) is var (step, model))
        {
            return new TextTransformer(new StepSession(step, model, context, pipelineFolder), transformer);
        }

        if (transformer is not IEnumerable<ITransformer> chain)
        {
            return transformer;
        }

        ITransformer[] before = [.. chain];
        ITransformer[] after = [.. before.Select(part => Batched(context, part, pipelineFolder))];
        return before.SequenceEqual(after) ? transformer : new TransformerChain<ITransformer>(after, Scopes(transformer, before));
    }

    // A chain tells its scopes only through the models that it makes for each of them.
    private static TransformerScope[] Scopes(ITransformer chain, ITransformer[] parts)
    {
        var scopes = new TransformerScope[parts.Length];
        MethodInfo? modelFor = chain.GetType().GetMethod(nameof(TransformerChain<ITransformer>.GetModelFor));
        foreach (TransformerScope scope in SingleScopes)
        {
            var kept = modelFor?.Invoke(chain, [scope]) as IEnumerable<ITransformer> ?? parts;
            for (int i = 0; i < parts.Length; i++)
            {
                scopes[i] |= kept.Contains(parts[i], ReferenceEqualityComparer.Instance) ? scope : TransformerScope.None;
            }
        }

        return scopes;
    }
}
