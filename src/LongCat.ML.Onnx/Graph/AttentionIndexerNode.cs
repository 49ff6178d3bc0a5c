using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::AttentionIndexer.</summary>
internal sealed record AttentionIndexerInputs(Value Query, Value Key, Value Weights, Value KeyNorm, Value InverseFrequencies, StepInputs Step, Value Cache);

/// <summary>Attributes of longcat::AttentionIndexer.</summary>
internal sealed record AttentionIndexerAttributes(AttentionIndexerConfig Indexer, long RopeDim, double Epsilon, double RopeMultiplier);
