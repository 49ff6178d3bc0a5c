using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The n-gram embedding of LongCat-Flash-Lite.</summary>
internal sealed partial class LongcatFlashEmitter
{
    private Value EmitNGramEmbedding(GraphBuilder graph, CheckpointWeights weights, Value inputIds, StepInputs step, Value context)
    {
        NGramConfig ngram = config.NGram!;
        NGramEmbeddingInputs inputs = new(
            inputIds,
            step.QueryStart,
            context,
            Matrix(graph, weights, EmbeddingName),
            [.. Enumerable.Range(0, ngram.TableCount).Select(i => Matrix(graph, weights, ngram.TableName(i)))],
            [.. Enumerable.Range(0, ngram.TableCount).Select(i => Projection(graph, weights, ngram.ProjectionName(i)))]);
        NGramEmbeddingAttributes attributes = new(ngram.HashVocabSize, ngram.NeighborNum, ngram.SplitNum, config.EosTokenIds[0], ngram.TableRows);
        return graph.NGramEmbedding(inputs, attributes, "embedding");
    }
}
