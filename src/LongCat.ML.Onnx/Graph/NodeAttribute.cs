using Google.Protobuf;
using LongCat.ML.Onnx.Messages;
using AttributeType = LongCat.ML.Onnx.Messages.AttributeProto.Types.AttributeType;

namespace LongCat.ML.Onnx;

/// <summary>Makes the attributes of a node.</summary>
internal static class NodeAttribute
{
    public static AttributeProto Int(string name, long value) => new() { Name = name, Type = AttributeType.Int, I = value };

    public static AttributeProto Float(string name, double value) => new() { Name = name, Type = AttributeType.Float, F = (float)value };

    public static AttributeProto String(string name, string value) => new() { Name = name, Type = AttributeType.String, S = ByteString.CopyFromUtf8(value) };

    public static AttributeProto Ints(string name, IEnumerable<long> values)
    {
        AttributeProto attribute = new() { Name = name, Type = AttributeType.Ints };
        attribute.Ints.AddRange(values);
        return attribute;
    }
}
