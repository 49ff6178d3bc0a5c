namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::NGramEmbedding; tables and projections in the order n = 2 first, then splits.</summary>
internal sealed record NGramEmbeddingInputs(Value InputIds, Value QueryStart, Value Context, Value Word, IReadOnlyList<Value> Tables, IReadOnlyList<Value> Projections);

/// <summary>Attributes of longcat::NGramEmbedding.</summary>
internal sealed record NGramEmbeddingAttributes(long HashVocabSize, long NeighborNum, long SplitNum, long EosTokenId, IReadOnlyList<long> TableRows, string Fusion = "mean");
