using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// The n-gram embedding alone, with the dimensions of LongCat-Flash-Lite (hidden size 3072, 12 tables of width 256): the part of the exported graphs that
/// makes the value <c>embedding</c>, with our operator and with standard ones. The same without projections shows the hash and the table rows.
/// </summary>
internal static class NGramBenchmark
{
    private const string Embedding = "embedding";
    private const string Rows = "ngram.joined";

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        BenchmarkShape shape = options.Quick ? models.Shapes[^1] : BenchmarkShape.NGram;
        Console.Error.WriteLine("ngram: exporting");
        using BenchmarkModel ours = models.Export(shape, "longcat", new ExportOptions());
        using BenchmarkModel standard = models.Export(shape, "standard", new ExportOptions { Operators = OperatorSet.Standard });
        NGramConfig config = ((LongcatFlashConfig)ours.Config).NGram!;
        double projections = 2.0 * config.TableCount * ours.Config.HiddenSize * config.TableWidth;
        double rows = 2.0 * ((config.TableCount * config.TableWidth) + ours.Config.HiddenSize);
        ReadBandwidth bandwidth = new(options.Quick);
        using PartialGraph whole = new(ours.Folder, Embedding, Part.Value), wholeStandard = new(standard.Folder, Embedding, Part.Value);
        using PartialGraph gather = new(ours.Folder, Embedding, Part.TableRows), gatherStandard = new(standard.Folder, Rows, Part.Value);
        using PartialGraph empty = new(ours.Folder, Embedding, Part.Nothing), emptyStandard = new(standard.Folder, Embedding, Part.Nothing);
        PartialGraph[] graphs = [gather, gatherStandard, whole, wholeStandard, empty, emptyStandard];
        Console.Error.WriteLine("ngram: touching the tables");
        Random warm = new(1);
        for (int pass = 0; pass < (options.Quick ? 1 : 40); pass++)
        {
            // A page of a mapping costs a fault when it is first touched, for both alike; what is compared is what comes after.
            long[] ids = [.. Enumerable.Range(0, 512).Select(_ => (long)warm.Next(3, ours.Config.VocabSize))];
            Array.ForEach(graphs, graph => graph.Seconds(ids, config.NeighborNum - 1));
        }

        foreach (int tokens in new[] { 1, 8, 64, 512 })
        {
            Console.Error.WriteLine($"ngram: {tokens} tokens");
            double machine = Enumerable.Range(0, 5).Max(_ => bandwidth.Measure(1));
            Random random = new(tokens);
            (Series[] series, _) = Series.InTurns(options.Quick ? 3 : 30, graphs.Length, i =>
            {
                long[] ids = [.. Enumerable.Range(0, tokens).Select(_ => (long)random.Next(3, ours.Config.VocabSize))];
                return tokens / graphs[i].Seconds(ids, config.NeighborNum - 1);
            });
            double[] best = [.. series.Select(one => 1e6 * tokens / one.Best)];
            (string, string)[] cases = [("hash and rows", "longcat"), ("hash and rows", "standard"), ("whole", "longcat"), ("whole", "standard")];
            for (int i = 0; i < cases.Length; i++)
            {
                // What a run costs before the first operator and after the last is the same in a whole model however the embedding is made.
                double net = best[i] - best[4 + (i % 2)], netStandard = best[i | 1] - best[5];
                List<(string, double)> more = [("us", best[i]), ("us without an empty run", net), ("times standard", netStandard / net)];
                if (i == 2)
                {
                    double read = (projections + (tokens * rows)) / net / 1e3;
                    more.AddRange([("GB/s", read), ("machine GB/s", machine / 1e9), ("share", read / (machine / 1e9))]);
                }

                yield return series[i].ToFigure("ngram", $"{cases[i].Item1}, {tokens} tokens, {cases[i].Item2}", "tokens/s", 1, [.. more]);
            }
        }
    }

    private enum Part
    {
        /// <summary>Everything that the value needs.</summary>
        Value,

        /// <summary>Our operator with a hidden size of one: it hashes and reads the rows of the tables, and the products cost nothing.</summary>
        TableRows,

        /// <summary>The same inputs and no work.</summary>
        Nothing,
    }

    /// <summary>What an exported graph computes for one of its values, in a session of one thread.</summary>
    private sealed class PartialGraph : IDisposable
    {
        private readonly InferenceSession _session;
        private readonly string _path;
        private readonly RunOptions _options = new();

        public PartialGraph(string folder, string value, Part part)
        {
            ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(folder, ModelManifest.ModelFileName)));
            Prune(model.Graph, value);
            if (part == Part.TableRows)
            {
                DropProjections(model.Graph.Node.Single(), model.Graph);
            }
            else if (part == Part.Nothing)
            {
                DropWork(model.Graph);
            }

            _path = Path.Combine(folder, $"{value}-{part}.onnx");
            File.WriteAllBytes(_path, model.ToByteArray());
            using SessionOptions options = new() { IntraOpNumThreads = 1, InterOpNumThreads = 1 };
            options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
            _session = new InferenceSession(_path, options);
        }

        /// <summary>Seconds for one step of these tokens, which begin a sequence.</summary>
        public double Seconds(long[] ids, int history)
        {
            long[] context = [.. Enumerable.Repeat(-1L, history)];
            bool padded = _session.InputMetadata["input_ids"].Dimensions.Length == 2;
            Dictionary<string, OrtValue> inputs = new(StringComparer.Ordinal)
            {
                ["input_ids"] = OrtValue.CreateTensorValueFromMemory(ids, padded ? [1, ids.Length] : [ids.Length]),
                ["ngram_context"] = OrtValue.CreateTensorValueFromMemory(context, [1, history]),
            };
            if (!padded)
            {
                inputs["query_start"] = OrtValue.CreateTensorValueFromMemory(new[] { 0, ids.Length }, [2]);
            }

            try
            {
                return Series.Seconds(() => _session.Run(_options, [.. inputs.Keys], [.. inputs.Values], _session.OutputNames).Dispose());
            }
            finally
            {
                foreach (OrtValue input in inputs.Values)
                {
                    input.Dispose();
                }
            }
        }

        public void Dispose()
        {
            _session.Dispose();
            _options.Dispose();
            File.Delete(_path);
        }

        private static void Prune(GraphProto graph, string value)
        {
            HashSet<string> wanted = new(StringComparer.Ordinal) { value };
            List<NodeProto> nodes = [];
            foreach (NodeProto node in graph.Node.Reverse().Where(node => node.Output.Any(wanted.Contains)))
            {
                wanted.UnionWith(node.Input);
                nodes.Insert(0, node);
            }

            graph.Node.Clear();
            graph.Node.Add(nodes);
            TensorProto[] kept = [.. graph.Initializer.Where(tensor => wanted.Contains(tensor.Name))];
            graph.Initializer.Clear();
            graph.Initializer.Add(kept);
            ValueInfoProto[] inputs = [.. graph.Input.Where(input => wanted.Contains(input.Name))];
            graph.Input.Clear();
            graph.Input.Add(inputs);
            graph.Output.Clear();
            graph.Output.Add(new ValueInfoProto { Name = value, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Float } } });
            graph.ValueInfo.Clear();
        }

        private static void DropWork(GraphProto graph)
        {
            graph.Node.Clear();
            graph.Initializer.Clear();
            graph.Node.Add(new NodeProto { OpType = "Identity", Name = "nothing", Input = { graph.Input[0].Name }, Output = { graph.Output[0].Name } });
            graph.Output[0].Type.TensorType.ElemType = (int)TensorProto.Types.DataType.Int64;
        }

        private static void DropProjections(NodeProto node, GraphProto graph)
        {
            int tables = (node.Input.Count - 4) / 2;
            long width = graph.Initializer.Single(tensor => tensor.Name == node.Input[4]).Dims[1];
            TensorProto word = graph.Initializer.Single(tensor => tensor.Name == node.Input[3]);
            Replace(word, word.Dims[0], 1);
            for (int i = 0; i < tables; i++)
            {
                Replace(graph.Initializer.Single(tensor => tensor.Name == node.Input[4 + tables + i]), 1, width);
            }

            node.Attribute.Single(attribute => attribute.Name == "layout").I = 0;
        }

        private static void Replace(TensorProto tensor, params long[] shape)
        {
            tensor.Dims.Clear();
            tensor.Dims.AddRange(shape);
            tensor.DataType = (int)TensorProto.Types.DataType.Float;
            tensor.DataLocation = TensorProto.Types.DataLocation.Default;
            tensor.ExternalData.Clear();
            tensor.RawData = ByteString.CopyFrom(new byte[sizeof(float) * shape.Aggregate(1L, (product, size) => product * size)]);
        }
    }
}
