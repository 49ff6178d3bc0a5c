using System.Globalization;
using System.Text;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Sessions;

/// <summary>A weight of a graph that lies in the model's data file.</summary>
/// <param name="Name">The initializer's name.</param>
/// <param name="ElementType">The number that ONNX and ONNX Runtime both have for its type.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Offset">Where it begins in model.onnx.data.</param>
/// <param name="Length">Its bytes.</param>
internal sealed record ExternalInitializer(string Name, int ElementType, IReadOnlyList<long> Shape, long Offset, long Length)
{
    /// <summary>
    /// The weights of a graph that a step reads as a whole, in the order of the file. Those of which operators only read some rows (embeddings, n-gram tables) are left out.
    /// Field numbers: onnx.proto of ONNX, messages ModelProto, GraphProto, NodeProto, TensorProto.
    /// </summary>
    /// <exception cref="InvalidDataException">The bytes are no ONNX model.</exception>
    public static IReadOnlyList<ExternalInitializer> MatricesOf(ReadOnlySpan<byte> model)
    {
        List<ExternalInitializer> all = [];
        HashSet<string> readWhole = new(StringComparer.Ordinal);
        ProtobufReader fields = new(model);
        while (fields.Next())
        {
            if (fields.Field != 7)
            {
                continue;
            }

            ProtobufReader graph = new(fields.Content);
            while (graph.Next())
            {
                if (graph.Field == 1)
                {
                    AddWholeInputs(graph.Content, readWhole);
                }
                else if (graph.Field == 5 && Read(graph.Content) is { } found)
                {
                    all.Add(found);
                }
            }
        }

        return [.. all.Where(initializer => readWhole.Contains(initializer.Name)).OrderBy(initializer => initializer.Offset)];
    }

    private static void AddWholeInputs(ReadOnlySpan<byte> node, HashSet<string> names)
    {
        List<string> inputs = [];
        string type = "";
        ProtobufReader fields = new(node);
        while (fields.Next())
        {
            if (fields.Field == 1)
            {
                inputs.Add(Encoding.UTF8.GetString(fields.Content));
            }
            else if (fields.Field == 4)
            {
                type = Encoding.UTF8.GetString(fields.Content);
            }
        }

        // The inputs from first up to end are tables. NGramEmbedding: the word table and n n-gram tables, then their n projections, which are read whole.
        (int first, int end) = type switch
        {
            "Gather" => (0, 1),
            "Int8Embedding" => (1, 2),
            "NGramEmbedding" => (3, 4 + Math.Max(0, (inputs.Count - 4) / 2)),
            _ => (0, 0),
        };
        for (int i = 0; i < inputs.Count; i++)
        {
            if (i < first || i >= end)
            {
                names.Add(inputs[i]);
            }
        }
    }

    /// <summary>A TensorProto; null where its values are not in model.onnx.data.</summary>
    private static ExternalInitializer? Read(ReadOnlySpan<byte> tensor)
    {
        string name = "", location = "";
        int type = 0;
        long offset = 0, length = -1;
        List<long> shape = [];
        ProtobufReader fields = new(tensor);
        while (fields.Next())
        {
            switch (fields.Field)
            {
                case 1:
                    fields.AppendTo(shape);
                    break;
                case 2:
                    type = (int)fields.Number;
                    break;
                case 8:
                    name = Encoding.UTF8.GetString(fields.Content);
                    break;
                case 13:
                    (string key, string value) = ReadEntry(fields.Content);
                    switch (key)
                    {
                        case "location":
                            location = value;
                            break;
                        case "offset":
                            offset = ParseLength(name, key, value);
                            break;
                        case "length":
                            length = ParseLength(name, key, value);
                            break;
                    }

                    break;
            }
        }

        return location == ModelManifest.DataFileName && length > 0 ? new ExternalInitializer(name, type, shape, offset, length) : null;
    }

    private static (string Key, string Value) ReadEntry(ReadOnlySpan<byte> entry)
    {
        string key = "", value = "";
        ProtobufReader fields = new(entry);
        while (fields.Next())
        {
            string text = Encoding.UTF8.GetString(fields.Content);
            (key, value) = fields.Field == 1 ? (text, value) : fields.Field == 2 ? (key, text) : (key, value);
        }

        return (key, value);
    }

    private static long ParseLength(string name, string key, string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            ? number
            : throw new InvalidDataException($"the initializer '{name}' has the {key} '{value}', expected a number");
}
