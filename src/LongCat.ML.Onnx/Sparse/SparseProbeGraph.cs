using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// An export for sparse verification whose inner values are outputs too, for its calibration: the blocks that attentions choose, the weights of the experts, the gate activations. The folder's data
/// file serves both graphs.
/// </summary>
/// <remarks>Immutable; safe to share between threads.</remarks>
public sealed class SparseProbeGraph
{
    private const string BlocksPrefix = "sparse_blocks.";
    private const int SharesOutput = 3, ActivationInput = 1;

    private SparseProbeGraph(byte[] model, IReadOnlyDictionary<int, string> blocks, IReadOnlyList<string> shares, IReadOnlyList<(string Network, string Output)> activations)
    {
        Model = model;
        Blocks = blocks;
        Shares = shares;
        Activations = activations;
    }

    /// <summary>The bytes of the graph.</summary>
    public ReadOnlyMemory<byte> Model { get; }

    /// <summary>For each attention that can be sparse the output with its blocks: int32 [S, heads, words], bit j of word w is block 32·w + j.</summary>
    public IReadOnlyDictionary<int, string> Blocks { get; }

    /// <summary>For each mixture, in the order of the rows of <c>sparse_expert_betas</c>, the output with the weights of a token's experts: float32 [T, top_k], 0 for identity experts.</summary>
    public IReadOnlyList<string> Shares { get; }

    /// <summary>For each feed-forward network that can skip channels its node's name and the output with its gate activations: float32 [T, inner].</summary>
    public IReadOnlyList<(string Network, string Output)> Activations { get; }

    /// <summary>Reads a graph and gives it the outputs.</summary>
    /// <param name="path">model.onnx of a folder that was exported for sparse verification.</param>
    /// <returns>The graph.</returns>
    /// <exception cref="CheckpointException">The file is no ONNX model, or was not exported for it.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SparseProbeGraph Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ModelProto model;
        try
        {
            model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new CheckpointException(path, $"the file is no ONNX model: {exception.Message}", exception);
        }

        if (model.Graph is not { } graph || graph.Input.All(input => input.Name != "sparse_rows"))
        {
            throw new CheckpointException(path, "the graph has no input sparse_rows: it was exported without sparse verification. Export the checkpoint with --sparse-verification.");
        }

        SortedDictionary<int, string> blocks = [];
        SortedDictionary<long, string> shares = [];
        List<(string, string)> activations = [];
        foreach (NodeProto node in graph.Node)
        {
            if (node.Output.FirstOrDefault(name => name.StartsWith(BlocksPrefix, StringComparison.Ordinal)) is { } chosen
                && int.TryParse(chosen.AsSpan(BlocksPrefix.Length), System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int attention))
            {
                blocks.Add(attention, chosen);
                Expose(graph, chosen, ElementType.Int32, "S", $"{chosen}.heads", $"{chosen}.words");
            }
            else if (node.OpType == "ExpertMixture" && node.Input.Contains("sparse_expert_betas"))
            {
                while (node.Output.Count <= SharesOutput)
                {
                    node.Output.Add("");
                }

                string name = $"{node.Output[0]}.shares";
                node.Output[SharesOutput] = name;
                shares.Add(node.Attribute.FirstOrDefault(attribute => attribute.Name == "sparse_layer")?.I ?? 0, name);
                Expose(graph, name, ElementType.Float, "T", $"{name}.experts");
            }
            else if (node.OpType == "SparseGatedMlp")
            {
                string name = node.Input[ActivationInput];
                activations.Add((node.Name, name));
                Expose(graph, name, ElementType.Float, "T", $"{name}.channels");
            }
        }

        return new SparseProbeGraph(model.ToByteArray(), blocks, [.. shares.Values], activations);
    }

    private static void Expose(GraphProto graph, string name, ElementType type, params ReadOnlySpan<Dimension> shape)
    {
        if (graph.Output.All(output => output.Name != name))
        {
            graph.Output.Add(GraphBuilder.Describe(name, type, shape));
        }
    }
}
