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
    /// <see cref="AdapterNames.Gain"/> [n, N]; of kv_b_proj instead <see cref="AdapterNames.Adapted"/> [n, N, K]. Rows whose adapter is -1 give what they give without, bit for bit;
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

        Insertion insertion = new(_model.Clone(), several);
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (AdapterSite site in sites)
        {
            AdaptableModule module = Find(site.Module);
            if (!seen.Add(site.Module))
            {
                throw new ArgumentException($"the module {site.Module} appears twice", nameof(sites));
            }

            NodeProto node = insertion.Model.Graph.Node[_modules[site.Module].Node];
            if (module.Kind == AdaptableModuleKind.LatentValues)
            {
                if (!several)
                {
                    throw new CheckpointException(
                        _path,
                        $"{site.Module} lies inside LatentAttention and takes no A and B as inputs. Leave it out of the targets, merge the adapter (longcat export --adapter), or run it with "
                        + "LongCat.ML's engine, which merges it when the model is opened.");
                }

                insertion.AdaptLatentValues(node, module, site.Rows);
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
        private readonly Dictionary<NodeProto, List<NodeProto>> _followers = new(ReferenceEqualityComparer.Instance);
        private readonly HashSet<string> _inputs = new(model.Graph.Input.Select(input => input.Name), StringComparer.Ordinal);

        public ModelProto Model => model;

        public void AdaptLatentValues(NodeProto node, AdaptableModule module, string rows)
        {
            string adapted = AdapterNames.Adapted(module.Module);
            AddInput(adapted, ElementType.Float, "adapters", module.OutFeatures, module.InFeatures);
            while (node.Input.Count < 10)
            {
                node.Input.Add("");
            }

            node.Input.Add(adapted);
            node.Input.Add(Rows(rows));
        }

        public void AdaptProduct(NodeProto node, AdaptableModule module, AdapterSite site, OperatorInputs places)
        {
            string y = node.Output[0], product = $"{y}.base";
            string a = AdapterNames.A(module.Module), b = AdapterNames.B(module.Module);
            Dimension k = module.Weight.Shape.Count == 4 ? $"{module.Module}.in" : module.InFeatures;
            AddInput(a, ElementType.Float, k, AdapterNames.Rank);
            AddInput(b, ElementType.Float, AdapterNames.Rank, module.OutFeatures);
            if (!several)
            {
                // No rank: whoever names no adapter gets the base.
                AddEmpty(a, module.InFeatures, 0);
                AddEmpty(b, 0, module.OutFeatures);
            }

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

        public ModelProto Complete()
        {
            if (_followers.Count > 0)
            {
                NodeProto[] nodes = [.. model.Graph.Node.SelectMany(node => _followers.TryGetValue(node, out List<NodeProto>? followers) ? [node, .. followers] : (NodeProto[])[node])];
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

        private void AddEmpty(string name, long rows, long columns)
        {
            TensorProto tensor = new() { Name = name, DataType = (int)ElementType.Float, RawData = ByteString.Empty };
            tensor.Dims.AddRange([rows, columns]);
            model.Graph.Initializer.Add(tensor);
        }
    }
}
