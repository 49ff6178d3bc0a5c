using System.Runtime.InteropServices;
using Google.Protobuf;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>ONNX operators that move values without computing, and the small constants that describe how.</summary>
internal sealed partial class GraphBuilder
{
    /// <summary>A small constant inside the graph: shapes, axes, bounds. One value for every use with the same content.</summary>
    public Value Integers(params ReadOnlySpan<long> values)
    {
        string name = $"integers.{string.Join('_', values.ToArray())}";
        return SmallConstant(name, ElementType.Int64, MemoryMarshal.AsBytes(values), [values.Length]);
    }

    /// <summary>An integer without dimensions.</summary>
    public Value Integer(long value) => SmallConstant($"integer.{value}", ElementType.Int64, MemoryMarshal.AsBytes<long>([value]), []);

    /// <summary>A number without dimensions.</summary>
    public Value Number(float value) => SmallConstant($"number.{value:R}", ElementType.Float, MemoryMarshal.AsBytes<float>([value]), []);

    /// <summary>An int64 input that may be left out: it is then <paramref name="whenAbsent"/>.</summary>
    public Value OptionalInput(string name, params ReadOnlySpan<long> whenAbsent)
    {
        Input(name, ElementType.Int64, whenAbsent.Length);
        _graph.Initializer.Add(Inline(name, ElementType.Int64, MemoryMarshal.AsBytes(whenAbsent), [whenAbsent.Length]));
        return new Value(name);
    }

    /// <summary>A float32 input that may be left out: it then has the given sizes, of which one is 0, and no values.</summary>
    public Value EmptyInput(string name, (Dimension Rows, Dimension Columns) shape, long rows, long columns)
    {
        Input(name, ElementType.Float, shape.Rows, shape.Columns);
        _graph.Initializer.Add(Inline(name, ElementType.Float, [], [rows, columns]));
        return new Value(name);
    }

    public Value Reshape(Value x, Value shape, string output) => Single(OnnxDomain, "Reshape", [x, shape], output);

    public Value Transpose(Value x, ReadOnlySpan<long> order, string output) => Single(OnnxDomain, "Transpose", [x], output, NodeAttribute.Ints("perm", order.ToArray()));

    /// <summary>Cuts the last dimension into parts of the given widths.</summary>
    public Value[] Split(Value x, ReadOnlySpan<long> widths, params string[] outputs)
    {
        Node(OnnxDomain, "Split", [x, Integers(widths)], outputs, NodeAttribute.Int("axis", -1));
        return [.. outputs.Select(output => new Value(output))];
    }

    /// <summary>Elements <paramref name="start"/> to before <paramref name="end"/> of one dimension; both are int64 [1].</summary>
    public Value Slice(Value x, Value start, Value end, long axis, string output) => Single(OnnxDomain, "Slice", [x, start, end, Integers(axis)], output);

    public Value Unsqueeze(Value x, ReadOnlySpan<long> axes, string output) => Single(OnnxDomain, "Unsqueeze", [x, Integers(axes)], output);

    /// <summary>One dimension's size as int64 [1].</summary>
    public Value Size(Value x, long dimension, string output) =>
        Single(OnnxDomain, "Shape", [x], output, NodeAttribute.Int("start", dimension), NodeAttribute.Int("end", dimension + 1));

    /// <summary>0, 1, … below <paramref name="limit"/>, which has no dimensions.</summary>
    public Value Range(Value limit, string output) => Single(OnnxDomain, "Range", [Integer(0), limit, Integer(1)], output);

    private Value SmallConstant(string name, ElementType type, ReadOnlySpan<byte> bytes, ReadOnlySpan<long> shape)
    {
        if (_names.Add(name))
        {
            _graph.Initializer.Add(Inline(name, type, bytes, shape));
        }

        return new Value(name);
    }

    private static TensorProto Inline(string name, ElementType type, ReadOnlySpan<byte> bytes, ReadOnlySpan<long> shape)
    {
        TensorProto tensor = new() { Name = name, DataType = (int)type, RawData = ByteString.CopyFrom(bytes) };
        tensor.Dims.AddRange(shape.ToArray());
        return tensor;
    }
}
