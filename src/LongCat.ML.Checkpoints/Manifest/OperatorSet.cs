namespace LongCat.ML.Checkpoints;

/// <summary>Which operators an exported model's graph uses.</summary>
public enum OperatorSet
{
    /// <summary>LongCat.ML's own operators over paged caches; written as <c>longcat</c> in longcat.json, and assumed where the key is missing.</summary>
    LongCat,

    /// <summary>Operators of ONNX and com.microsoft only, in the padded layout of ONNX Runtime GenAI; written as <c>standard</c>.</summary>
    Standard,
}
