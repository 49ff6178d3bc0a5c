using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>The operators of ONNX and of ONNX Runtime's com.microsoft domain that the emitters use.</summary>
internal sealed partial class GraphBuilder
{
    public const string OnnxDomain = "";
    public const string MicrosoftDomain = "com.microsoft";

    /// <summary>RMS normalization over the last dimension, then times <paramref name="weight"/>. ONNX Runtime keeps it in the default domain.</summary>
    public Value RmsNorm(Value x, Value weight, double epsilon, string output) =>
        Single(OnnxDomain, "SimplifiedLayerNormalization", [x, weight], output, NodeAttribute.Int("axis", -1), NodeAttribute.Float("epsilon", epsilon), NodeAttribute.Int("stash_type", 1));

    /// <summary><c>silu(gate) * up</c>; QuickGelu is x * sigmoid(alpha x), so alpha 1 is SiLU.</summary>
    public Value SiluMul(Value gate, Value up, string output)
    {
        Value activated = Silu(gate, output + ".silu");
        return Single(OnnxDomain, "Mul", [activated, up], output);
    }

    public Value Silu(Value gate, string output) => Single(MicrosoftDomain, "QuickGelu", [gate], output, NodeAttribute.Float("alpha", 1));

    public Value Add(Value left, Value right, string output) => Single(OnnxDomain, "Add", [left, right], output);

    /// <summary>Rows of <paramref name="table"/>.</summary>
    public Value Gather(Value table, Value rows, string output) => Single(OnnxDomain, "Gather", [table, rows], output, NodeAttribute.Int("axis", 0));

    public Value Cast(Value x, ElementType type, string output) => Single(OnnxDomain, "Cast", [x], output, NodeAttribute.Int("to", (long)type));

    /// <summary>Joins along the last dimension.</summary>
    public Value Concat(ReadOnlySpan<Value> parts, string output) => Single(OnnxDomain, "Concat", parts, output, NodeAttribute.Int("axis", -1));

    private Value Single(string domain, string operatorType, ReadOnlySpan<Value> inputs, string output, params ReadOnlySpan<Messages.AttributeProto> attributes)
    {
        Node(domain, operatorType, inputs, [output], attributes);
        return new Value(output);
    }
}
