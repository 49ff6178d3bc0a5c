using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The n-gram embedding of LongCat-Flash-Lite.</summary>
internal sealed partial class LongcatFlashEmitter
{
    private Value EmitNGramEmbedding(ModelWriter writer, Value inputIds, StepInputs step, Value context)
    {
        NGramConfig ngram = config.NGram!;
        NGramEmbeddingInputs inputs = new(
            inputIds,
            step.QueryStart,
            context,
            writer.Matrix(EmbeddingName),
            [.. Enumerable.Range(0, ngram.TableCount).Select(i => writer.NGramTable(ngram.TableName(i)))],
            [.. Enumerable.Range(0, ngram.TableCount).Select(i => writer.Projection(ngram.ProjectionName(i)))]);
        NGramEmbeddingAttributes attributes = new(ngram.HashVocabSize, ngram.NeighborNum, ngram.SplitNum, config.EosTokenIds[0], ngram.TableRows);
        return writer.Graph.NGramEmbedding(inputs, attributes, "embedding");
    }
}
