using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>
/// The n-gram embedding: ids by <see cref="NGramIds"/>, rows by Gather, one product for all projections.
/// </summary>
internal sealed partial class StandardLongcatEmitter
{
    private Value EmitNGramEmbedding(GraphBuilder graph, CheckpointWeights weights, Value inputIds, Value context)
    {
        NGramConfig ngram = config.NGram!;
        Value ids = NGramIds.Emit(graph, inputIds, context, ngram, config.EosTokenIds[0]);
        string[] names = [.. Enumerable.Range(0, ngram.TableCount).Select(i => $"ngram.id.{i}")];
        Value[] columns = graph.Split(ids, [.. Enumerable.Repeat(1L, ngram.TableCount)], names);
        List<Value> rows = [];
        for (int i = 0; i < ngram.TableCount; i++)
        {
            Value id = graph.Reshape(columns[i], graph.Concat([graph.Size(inputIds, 0, $"ngram.batch.{i}"), graph.Integers(-1)], $"ngram.shape.{i}"), $"ngram.rows.{i}");
            rows.Add(EmitRows(graph, ngram.TableName(i), weights.Table(ngram.TableName(i)), id, $"ngram.{i}"));
        }

        const string Key = "model.ngram_embeddings.post_projs.weight";
        IEnumerable<RowRange> projections =
            from row in Enumerable.Range(0, config.HiddenSize)
            from table in Enumerable.Range(0, ngram.TableCount)
            select new RowRange(ngram.ProjectionName(table), row, 1);
        Value projection = graph.Weight(Key, weights.Rows(Key, [config.HiddenSize, (long)ngram.TableCount * ngram.TableWidth], projections));
        double mean = 1.0 / (1 + ngram.TableCount);
        Value projected = graph.MatMulTransposed(graph.Concat([.. rows], "ngram.joined"), projection, "ngram.projected", mean);
        Value word = EmitRows(graph, EmbeddingName, weights.Table(EmbeddingName), inputIds, "embedding.word");
        return graph.Add(graph.Binary("Mul", word, graph.Number((float)mean), "embedding.word.scaled"), projected, "embedding");
    }
}
