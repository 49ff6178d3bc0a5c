using System.Globalization;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// Builds one ONNX graph. Nodes are added in the order they run, so every input of a node must be known when the node is added;
/// a name that is used twice or never defined is a mistake of the emitter and throws <see cref="InvalidOperationException"/>.
/// </summary>
internal sealed partial class GraphBuilder(string name, ExternalData data)
{
    /// <summary>The version of ONNX's own operators that the graph asks for.</summary>
    public const int OnnxOpset = 21;

    /// <summary>The format version that goes with <see cref="OnnxOpset"/>.</summary>
    private const int IrVersion = 10;

    private readonly GraphProto _graph = new() { Name = name };
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _domains = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PanelTensor> _panels = new(StringComparer.Ordinal);
    private readonly HashSet<string> _byteTables = new(StringComparer.Ordinal);

    public Value Input(string name, ElementType type, params ReadOnlySpan<Dimension> shape)
    {
        Define(name);
        _graph.Input.Add(Describe(name, type, shape));
        return new Value(name);
    }

    public void Output(Value value, ElementType type, params ReadOnlySpan<Dimension> shape)
    {
        Known(value, "the graph's outputs");
        _graph.Output.Add(Describe(value.Name, type, shape));
    }

    /// <summary>An initializer in the external data. The same name may be asked for again and gives the same value.</summary>
    public Value Weight(string name, TensorSource source)
    {
        ExternalRegion region = data.Add(source);
        if (_graph.Initializer.FirstOrDefault(existing => existing.Name == name) is { } known)
        {
            return known.ExternalData[1].Value == Text(region.Offset)
                ? new Value(name)
                : throw new InvalidOperationException($"the initializer {name} is defined twice with different content");
        }

        Define(name);
        TensorProto tensor = new() { Name = name, DataType = (int)source.Type, DataLocation = TensorProto.Types.DataLocation.External };
        tensor.Dims.AddRange(source.Shape);
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = region.Location });
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = Text(region.Offset) });
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = Text(region.Length) });
        _graph.Initializer.Add(tensor);
        if ((source is StackedTensor stack ? stack.Panels : source as PanelTensor) is { } panels)
        {
            _panels.Add(name, panels);
        }
        else if (source is Int8Table)
        {
            _byteTables.Add(name);
        }

        return new Value(name);

        static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>A node; its name is the name of its first output. Trailing inputs that are left out are not written.</summary>
    public void Node(string domain, string operatorType, ReadOnlySpan<Value> inputs, ReadOnlySpan<string> outputs, params ReadOnlySpan<AttributeProto> attributes)
    {
        NodeProto node = new() { Name = outputs[0], OpType = operatorType, Domain = domain };
        while (!inputs.IsEmpty && inputs[^1] == Value.None)
        {
            inputs = inputs[..^1];
        }

        foreach (Value input in inputs)
        {
            if (input != Value.None)
            {
                Known(input, $"{operatorType} {node.Name}");
            }

            node.Input.Add(input.Name);
        }

        foreach (string output in outputs)
        {
            // An optional output that is left out has no name.
            if (output.Length > 0)
            {
                Define(output);
            }

            node.Output.Add(output);
        }

        foreach (AttributeProto attribute in attributes)
        {
            node.Attribute.Add(attribute);
        }

        _domains.Add(domain);
        _graph.Node.Add(node);
    }

    public ModelProto Build(string producerVersion)
    {
        ModelProto model = new() { IrVersion = IrVersion, ProducerName = "LongCat.ML", ProducerVersion = producerVersion, Graph = _graph };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = OnnxDomain, Version = OnnxOpset });
        foreach (string domain in _domains)
        {
            if (domain != OnnxDomain)
            {
                model.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = 1 });
            }
        }

        return model;
    }

    internal static ValueInfoProto Describe(string name, ElementType type, ReadOnlySpan<Dimension> shape)
    {
        TensorShapeProto dimensions = new();
        foreach (Dimension dimension in shape)
        {
            dimensions.Dim.Add(dimension.ToMessage());
        }

        return new ValueInfoProto
        {
            Name = name,
            Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = dimensions } },
        };
    }

    private void Define(string name)
    {
        if (!_names.Add(name))
        {
            throw new InvalidOperationException($"the value {name} is defined twice");
        }
    }

    private void Known(Value value, string user)
    {
        if (!_names.Contains(value.Name))
        {
            throw new InvalidOperationException($"{user} uses the value {value.Name}, which nothing before it defines");
        }
    }
}
