using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Adapters;

/// <summary>How a graph is rewritten.</summary>
public sealed partial class AdapterGraph
{
    /// <summary>Where the operators have what LoraMatMul takes over.</summary>
    private static readonly Dictionary<string, OperatorInputs> Operators = new(StringComparer.Ordinal)
    {
        ["MatMul"] = new(Weight: 1, Scale: 0, Bias: 2, Residual: 3),
        ["W4A8MatMul"] = new(Weight: 3, Scale: 4, Bias: 5, Residual: 6),
        ["W8A8MatMul"] = new(Weight: 1, Scale: 2, Bias: 3, Residual: 0),
        ["LatentAttention"] = new(Weight: 3, Scale: 0, Bias: 0, Residual: 0),
    };

    /// <summary>
    /// The graph with inputs for adapters. It has the same external data, outputs and other inputs, and these in addition: the <see cref="AdapterSite.Rows"/> and
    /// <see cref="AdapterSite.Start"/> of every product, and of every module <see cref="AdapterNames.A"/> [K, ranks], <see cref="AdapterNames.B"/> [ranks, N] and where asked for
    /// <see cref="AdapterNames.Gain"/> [n, N]; of kv_b_proj instead <see cref="AdapterNames.Adapted"/> [n, N, K]; of experts A [E, K, ranks], B [E, ranks, N], gain [E, n, N]. Rows whose adapter is -1 give what they give without, bit for bit;
    /// so do the rows of an adapter that has no ranks and no gain in a module. All tokens of a sequence must have one adapter: its cache is made with it.
    /// </summary>
    /// <param name="sites">The modules, each once.</param>
    /// <returns>The bytes of the new graph.</returns>
    /// <exception cref="CheckpointException">The graph cannot take adapters of a module, or its weights were equalized.</exception>
    /// <exception cref="ArgumentException">A module appears twice.</exception>
    public byte[] Insert(IReadOnlyList<AdapterSite> sites)
    {
        ArgumentNullException.ThrowIfNull(sites);
        return Rewrite(sites, several: true).ToByteArray();
    }

    /// <param name="sites">The modules.</param>
    /// <param name="several">Whether a step mixes adapters; else one adapter serves every row, and A and B are inputs that may be left out.</param>
    internal ModelProto Rewrite(IReadOnlyList<AdapterSite> sites, bool several)
    {
        if (sites.Count > 0 && _model.MetadataProps.Any(entry => entry.Key == EqualizedKey))
        {
            throw new CheckpointException(
                _path,
                "the graph's weights were equalized (factors moved from norms into matrices), so adapters of the checkpoint do not fit them. Quantize without equalization "
                + "(another recipe than fptq), or merge the adapter: longcat export <checkpoint> --adapter <peft folder>.");
        }

        if (sites.Any(site => _folded.Contains(site.Module)))
        {
            return new AdapterGraph(_path, Unfold(_model, sites.Select(site => site.Module).ToHashSet(StringComparer.Ordinal))).Rewrite(sites, several);
        }

        Insertion insertion = new(_model.Clone(), several);
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (AdapterSite site in sites)
        {
            AdaptableModule module = Find(site.Module);
            if (module.Kind == AdaptableModuleKind.Experts && !several)
            {
                throw new CheckpointException(
                    _path,
                    $"the graph cannot take an adapter of {site.Module}: experts have no inputs for adapters that a graph is exported with. Load the adapter with the model, or merge it: "
                    + "longcat export <checkpoint> --adapter <peft folder>.");
            }

            if (_model.Graph.Input.Any(input => input.Name == AdapterNames.A(site.Module) || input.Name == AdapterNames.Adapted(site.Module)))
            {
                throw new CheckpointException(_path, $"the graph has inputs for adapters of {site.Module} already (longcat export --adapter-inputs). Export the checkpoint without them.");
            }

            if (!seen.Add(site.Module))
            {
                throw new ArgumentException($"the module {site.Module} appears twice", nameof(sites));
            }

            if (module.Module != site.Module)
            {
                throw new ArgumentException($"the module {site.Module} is one of {module.Experts} experts, which take adapters together: {module.Module}", nameof(sites));
            }

            NodeProto node = insertion.Model.Graph.Node[_modules[site.Module].Node];
            if (module.Kind == AdaptableModuleKind.Experts)
            {
                insertion.AdaptExperts(node, module, site, node.Input.IndexOf(module.Weight.Name) - GateInput);
            }
            else if (module.Kind == AdaptableModuleKind.LatentValues)
            {
                if (several)
                {
                    insertion.AdaptLatentValues(node, module, site.Rows);
                }
                else
                {
                    insertion.MergeLatentValues(node, module);
                }
            }
            else
            {
                insertion.AdaptProduct(node, module, site, Operators[node.OpType]);
            }
        }

        return insertion.Complete();
    }

    private sealed record OperatorInputs(int Weight, int Scale, int Bias, int Residual);

    /// <summary>One rewriting. Nodes keep their places until the end, when each new node follows the one that it belongs to.</summary>
    private sealed class Insertion(ModelProto model, bool several)
    {
        private readonly Dictionary<NodeProto, List<NodeProto>> _before = new(ReferenceEqualityComparer.Instance);
        private readonly Dictionary<NodeProto, List<NodeProto>> _followers = new(ReferenceEqualityComparer.Instance);
        private readonly HashSet<string> _inputs = new(model.Graph.Input.Select(input => input.Name), StringComparer.Ordinal);

        public ModelProto Model => model;

        public void AdaptLatentValues(NodeProto node, AdaptableModule module, string rows)
        {
            string adapted = AdapterNames.Adapted(module.Module);
            AddInput(adapted, ElementType.Float, "adapters", module.OutFeatures, module.InFeatures);
            Take(node, adapted, Rows(rows));
        }

        /// <summary>
        /// The matrix with the one adapter merged into it, made from A and B in every step: [1, N, K], and nothing at all, [0, N, K], while they have no rank.
        /// </summary>
        public void MergeLatentValues(NodeProto node, AdaptableModule module)
        {
            string a = AdapterNames.A(module.Module), b = AdapterNames.B(module.Module), name = module.Module;
            AddPair(module, module.InFeatures);
            string axis = Integers(0), one = Integers(1), weight = module.Weight.Name;
            List<NodeProto> nodes =
            [
                Node("Shape", [b], $"{name}.rank", NodeAttribute.Int("start", 0), NodeAttribute.Int("end", 1)),
                Node("Min", [$"{name}.rank", one], $"{name}.count"),
                Node("Transpose", [b], $"{name}.b", NodeAttribute.Ints("perm", [1, 0])),
                Node("Unsqueeze", [$"{name}.b", axis], $"{name}.b.one"),
                Node("Slice", [$"{name}.b.one", axis, $"{name}.count", axis], $"{name}.b.used"),
                Node("Transpose", [a], $"{name}.a", NodeAttribute.Ints("perm", [1, 0])),
                Node("MatMul", [$"{name}.b.used", $"{name}.a"], $"{name}.change"),
            ];
            if (module.Weight.ElementType != (int)ElementType.Float)
            {
                nodes.Add(Node("Cast", [weight], $"{name}.float", NodeAttribute.Int("to", (long)ElementType.Float)));
                weight = $"{name}.float";
            }

            // The adapter of every row: 0, or -1 while there is none.
            nodes.AddRange(
            [
                Node("Add", [$"{name}.change", weight], AdapterNames.Adapted(name)),
                Node("Sub", [$"{name}.count", one], $"{name}.which"),
                Node("Cast", [$"{name}.which"], $"{name}.which.int32", NodeAttribute.Int("to", (long)ElementType.Int32)),
                Node("Shape", ["position_ids"], $"{name}.tokens"),
                Node("Expand", [$"{name}.which.int32", $"{name}.tokens"], $"{name}.rows"),
            ]);
            _before.Add(node, nodes);
            Take(node, AdapterNames.Adapted(name), $"{name}.rows");
        }

        public void AdaptProduct(NodeProto node, AdaptableModule module, AdapterSite site, OperatorInputs places)
        {
            string y = node.Output[0], product = $"{y}.base";
            string a = AdapterNames.A(module.Module), b = AdapterNames.B(module.Module);
            Dimension k = module.Weight.Shape.Count == 4 ? $"{module.Module}.in" : module.InFeatures;
            AddPair(module, k);

            string start = several ? site.Start : "", rows = !several ? "" : module.Kind == AdaptableModuleKind.Head ? RowsOfHead(node, site.Rows) : Rows(site.Rows), gain = "";
            if (several)
            {
                AddInput(start, ElementType.Int32, "adapters_plus_1");
            }

            if (several && site.Gain)
            {
                gain = AdapterNames.Gain(module.Module);
                AddInput(gain, ElementType.Float, "adapters", module.OutFeatures);
            }

            NodeProto lora = new() { Name = $"{y}.lora", OpType = "LoraMatMul", Domain = GraphBuilder.LongCatDomain };
            lora.Input.AddRange([FloatInput(node), product, a, b, rows, start, gain, Take(node, places.Bias), Take(node, places.Residual)]);
            Trim(lora.Input);
            Trim(node.Input);
            lora.Output.Add(y);
            node.Output[0] = product;
            Follow(node, lora);
        }

        /// <summary>The inputs behind the mixture's weights; projection 0 is gate, 1 up, 2 down.</summary>
        public void AdaptExperts(NodeProto node, AdaptableModule module, AdapterSite site, int projection)
        {
            const int FirstPair = 9, RowAdapter = 15, FirstStart = 16, FirstGain = 19;
            string a = AdapterNames.A(module.Module), b = AdapterNames.B(module.Module), rows = Rows(site.Rows);
            AddInput(a, ElementType.Float, module.Experts, module.InFeatures, AdapterNames.Rank);
            AddInput(b, ElementType.Float, module.Experts, AdapterNames.Rank, module.OutFeatures);
            AddInput(site.Start, ElementType.Int32, "adapters_plus_1");
            Put(FirstPair + (2 * projection), a);
            Put(FirstPair + (2 * projection) + 1, b);
            if (node.Input.Count > RowAdapter && node.Input[RowAdapter].Length > 0 && node.Input[RowAdapter] != rows)
            {
                throw new ArgumentException($"the module {module.Module} has its rows' adapters in {rows}, the same mixture's other projections in {node.Input[RowAdapter]}: expected one input", nameof(site));
            }

            Put(RowAdapter, rows);
            Put(FirstStart + projection, site.Start);
            if (site.Gain)
            {
                string gain = AdapterNames.Gain(module.Module);
                AddInput(gain, ElementType.Float, module.Experts, "adapters", module.OutFeatures);
                Put(FirstGain + projection, gain);
            }

            void Put(int place, string name)
            {
                while (node.Input.Count <= place)
                {
                    node.Input.Add("");
                }

                node.Input[place] = name;
            }
        }

        public ModelProto Complete()
        {
            if (_before.Count + _followers.Count > 0)
            {
                NodeProto[] nodes = [.. model.Graph.Node.SelectMany(node => (IEnumerable<NodeProto>)[.. _before.GetValueOrDefault(node, []), node, .. _followers.GetValueOrDefault(node, [])])];
                model.Graph.Node.Clear();
                model.Graph.Node.AddRange(nodes);
            }

            return model;
        }

        /// <summary>What the product multiplies, as floats: rows in 8 bits came from floats that their maker can put out too.</summary>
        private string FloatInput(NodeProto node)
        {
            if (node.OpType != "W4A8MatMul" || node.Input[1].Length == 0)
            {
                return node.Input[0];
            }

            NodeProto maker = model.Graph.Node.First(candidate => candidate.Output.Contains(node.Input[0]));
            while (maker.Output.Count < 4)
            {
                maker.Output.Add("");
            }

            if (maker.Output[3].Length == 0)
            {
                maker.Output[3] = $"{node.Input[0]}.float";
            }

            return maker.Output[3];
        }

        private static string Take(NodeProto node, int place)
        {
            if (place == 0 || place >= node.Input.Count)
            {
                return "";
            }

            string taken = node.Input[place];
            node.Input[place] = "";
            return taken;
        }

        private static void Trim(Google.Protobuf.Collections.RepeatedField<string> inputs)
        {
            while (inputs.Count > 0 && inputs[^1].Length == 0)
            {
                inputs.RemoveAt(inputs.Count - 1);
            }
        }

        private string Rows(string name)
        {
            AddInput(name, ElementType.Int32, "T");
            return name;
        }

        /// <summary>The adapters of the rows whose logits are asked for.</summary>
        private string RowsOfHead(NodeProto head, string rows)
        {
            string ofLogits = $"{rows}.logits";
            NodeProto gather = new() { Name = ofLogits, OpType = "Gather", Domain = GraphBuilder.OnnxDomain };
            gather.Input.AddRange([Rows(rows), "logits_index"]);
            gather.Output.Add(ofLogits);
            gather.Attribute.Add(NodeAttribute.Int("axis", 0));
            Follow(head, gather);
            return ofLogits;
        }

        private void Follow(NodeProto node, NodeProto follower)
        {
            if (!_followers.TryGetValue(node, out List<NodeProto>? followers))
            {
                _followers.Add(node, followers = []);
            }

            followers.Add(follower);
        }

        private void AddInput(string name, ElementType type, params ReadOnlySpan<Dimension> shape)
        {
            if (_inputs.Add(name))
            {
                model.Graph.Input.Add(GraphBuilder.Describe(name, type, shape));
            }
        }

        /// <summary>A and B; of the one adapter that serves every row they may be left out and then have no rank.</summary>
        private void AddPair(AdaptableModule module, Dimension k)
        {
            string a = AdapterNames.A(module.Module), b = AdapterNames.B(module.Module);
            AddInput(a, ElementType.Float, k, AdapterNames.Rank);
            AddInput(b, ElementType.Float, AdapterNames.Rank, module.OutFeatures);
            if (!several)
            {
                AddEmpty(a, module.InFeatures, 0);
                AddEmpty(b, 0, module.OutFeatures);
            }
        }

        /// <summary>Latent attention's two inputs for adapters.</summary>
        private static void Take(NodeProto attention, string adapted, string rows)
        {
            while (attention.Input.Count < 12)
            {
                attention.Input.Add("");
            }

            attention.Input[10] = adapted;
            attention.Input[11] = rows;
        }

        private static NodeProto Node(string type, IEnumerable<string> inputs, string output, params AttributeProto[] attributes)
        {
            NodeProto node = new() { Name = output, OpType = type, Domain = GraphBuilder.OnnxDomain };
            node.Input.AddRange(inputs);
            node.Output.Add(output);
            node.Attribute.AddRange(attributes);
            return node;
        }

        /// <summary>A constant int64 [1].</summary>
        private string Integers(long value)
        {
            string name = $"adapter.integers.{value}";
            if (model.Graph.Initializer.All(tensor => tensor.Name != name))
            {
                TensorProto tensor = new() { Name = name, DataType = (int)ElementType.Int64, RawData = ByteString.CopyFrom(BitConverter.GetBytes(value)) };
                tensor.Dims.Add(1);
                model.Graph.Initializer.Add(tensor);
            }

            return name;
        }

        private void AddEmpty(string name, long rows, long columns)
        {
            TensorProto tensor = new() { Name = name, DataType = (int)ElementType.Float, RawData = ByteString.Empty };
            tensor.Dims.AddRange([rows, columns]);
            model.Graph.Initializer.Add(tensor);
        }
    }
}
