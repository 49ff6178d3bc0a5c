using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Closed channels and skipped experts in graphs for sparse verification: what the nodes say, that exact rows keep the plain graph's bits, and that a sparse row has the same bits whatever
/// else is in its step. What is left out the kernels' own tests hold against plain versions.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class SparseModulesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string, WeightPrecision> Cases
    {
        get
        {
            TheoryData<string, string, WeightPrecision> cases = [];
            foreach (string kernel in KernelPath.Supported)
            {
                cases.Add("longcat", kernel, WeightPrecision.F32);
                cases.Add("longcat", kernel, WeightPrecision.W4A8);
                cases.Add("LlamaForCausalLM", kernel, WeightPrecision.BF16);
                cases.Add("Qwen3MoeForCausalLM", kernel, WeightPrecision.F32);
            }

            return cases;
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void What_sparse_rows_leave_out_changes_them_alone_and_alike_in_every_step(string model, string kernel, WeightPrecision precision)
    {
        Export(model, precision);
        SparseVerificationLayout layout = ModelManifest.Read(_folder["sparse"]).SparseVerification!;

        // Contexts of up to 1000 tokens are read in full: these two axes alone.
        using GraphRunner plain = new(_folder["plain"], kernel), sparse = new(_folder["sparse"], kernel) { SparseAttention = [8, 1000, 0, 0, 1] };
        RunnerSequence[] a = [new(), new()], b = [new(), new()];
        plain.Run(Chunks(a, -1, 0, 1));
        sparse.Run(Chunks(b, -1, 0, 1));
        bool ffn = precision != WeightPrecision.W4A8 && model != "Qwen3MoeForCausalLM", experts = model != "LlamaForCausalLM";
        Assert.Equal((ffn, experts), (layout.FfnLayers > 0, layout.MoeLayers > 0));
        foreach ((float tau, int most) in ((float, int)[])[(0, 0), (0.02f, 0), (0.5f, 0), (1e9f, 0), (0, 1), (0.5f, 1)])
        {
            sparse.Threshold = tau;
            sparse.SkippedExperts = experts ? most : 0;
            RunnerResult exact = plain.Run(Chunks(a, -1, 2, 3)), part = sparse.Run(Chunks(b, 0, 2, 3));
            int width = Tokens(2).Length * sparse.VocabSize;
            bool changes = (ffn && tau > 0) || (experts && most > 0);
            Assert.Equal(!changes, exact.Logits.AsSpan(0, width).SequenceEqual(part.Logits.AsSpan(0, width)));
            Assert.Equal(exact.Logits[width..], part.Logits[width..]);
            Assert.All(part.Logits, logit => Assert.True(float.IsFinite(logit)));

            // Alone in its step: channels are picked there, where the step above reads them all for its exact rows.
            Rewind(a, 2, 3);
            Rewind(b, 2, 3);
            Assert.Equal(part.Logits[..width], sparse.Run(Chunks(b, 0, 2, 3)[..1]).Logits);
            Rewind(b, 2, 3);
        }
    }

    [Fact]
    public void Both_dense_networks_of_a_LongCat_layer_and_its_mixture_read_the_steps_inputs()
    {
        Export("longcat", WeightPrecision.F32, new RandomCheckpointOptions { Layers = 2, Mtp = true });
        ModelProto model = Model("sparse", "model.onnx"), other = Model("plain", "model.onnx");
        NodeProto[] mlps = [.. model.Graph.Node.Where(node => node.OpType == "SparseGatedMlp")];
        Assert.Equal(4, mlps.Length);
        Assert.Equal(4, ModelManifest.Read(_folder["sparse"]).SparseVerification!.FfnLayers);
        Dictionary<string, TensorProto> weights = model.Graph.Initializer.ToDictionary(tensor => tensor.Name);
        foreach (NodeProto mlp in mlps)
        {
            string up = mlp.Input[2], down = mlp.Input[3];
            Assert.Equal([$"{up}.channels", $"{down}.channels", "", ""], mlp.Input.Skip(4).Take(4));
            Assert.Equal(["sparse_rows", "sparse_tau"], mlp.Input.Skip(9));
            NodeProto gate = model.Graph.Node.Single(node => node.Output[0] == mlp.Input[1]);
            Assert.Equal(("QuickGelu", $"{mlp.Output[0][..^".output".Length]}.activation"), (gate.OpType, gate.Output[0]));
            long hidden = mlp.Attribute.Single(attribute => attribute.Name == "hidden_size").I, inner = mlp.Attribute.Single(attribute => attribute.Name == "intermediate_size").I;
            Assert.Equal([inner, (hidden + 15) / 16 * 16], weights[$"{up}.channels"].Dims);
            Assert.Equal([inner, (hidden + 15) / 16 * 16], weights[$"{down}.channels"].Dims);
        }

        NodeProto[] mixtures = [.. model.Graph.Node.Where(node => node.OpType == "ExpertMixture")];
        for (int i = 0; i < mixtures.Length; i++)
        {
            Assert.Equal(["sparse_rows", "sparse_experts", "sparse_expert_betas"], mixtures[i].Input.Skip(22));
            Assert.Equal(i, mixtures[i].Attribute.Single(attribute => attribute.Name == "sparse_layer").I);
        }

        Assert.DoesNotContain(Model("sparse", "draft.onnx").Graph.Node, node => node.OpType == "SparseGatedMlp");
        Assert.DoesNotContain(other.Graph.Node, node => node.OpType == "SparseGatedMlp" || node.Attribute.Any(attribute => attribute.Name == "sparse_layer"));
    }

    [Fact]
    public void Networks_of_4_bit_weights_leave_no_channels_out()
    {
        Export("longcat", WeightPrecision.W4A8);
        Assert.DoesNotContain(Model("sparse", "model.onnx").Graph.Node, node => node.OpType == "SparseGatedMlp");
        SparseVerificationLayout layout = ModelManifest.Read(_folder["sparse"]).SparseVerification!;
        Assert.Equal((0, 2), (layout.FfnLayers, layout.MoeLayers));
        Assert.All(Model("sparse", "model.onnx").Graph.Node.Where(node => node.OpType == "ExpertMixture"), node => Assert.Equal(25, node.Input.Count));
    }

    [Fact]
    public void A_network_with_an_adapter_becomes_its_products_again()
    {
        Export("LlamaForCausalLM", WeightPrecision.F32);
        const string Up = "model.layers.1.mlp.up_proj", Down = "model.layers.2.mlp.down_proj";
        AdapterGraph graph = AdapterGraph.Read(Path.Combine(_folder["sparse"], "model.onnx")), plain = AdapterGraph.Read(Path.Combine(_folder["plain"], "model.onnx"));
        Assert.Equal(plain.Modules.Keys.Order(), graph.Modules.Keys.Order());
        Assert.Equal((plain.Find(Up).InFeatures, plain.Find(Up).OutFeatures, plain.Find(Up).Layout), (graph.Find(Up).InFeatures, graph.Find(Up).OutFeatures, graph.Find(Up).Layout));
        ModelProto adapted = ModelProto.Parser.ParseFrom(graph.Insert([new(Up), new("model.layers.0.mlp.gate_proj")]));
        Assert.Equal([0, 2], adapted.Graph.Node.Where(node => node.OpType == "SparseGatedMlp").Select(node => node.Output[0][7] - '0'));
        Assert.DoesNotContain(adapted.Graph.Initializer, tensor => tensor.Name.StartsWith("model.layers.1.mlp", StringComparison.Ordinal) && tensor.Name.EndsWith(".channels", StringComparison.Ordinal));

        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        using PeftAdapter adapter = RandomAdapter.Create(checkpoint, 5, [Up, Down, "model.layers.0.mlp.gate_proj"]);
        AdapterStack stack = new(checkpoint, adapter);
        using GraphRunner with = new(_folder["sparse"], KernelPath.Supported[0], adapters: stack) { SparseAttention = [8, 1000, 0, 0, 1], Threshold = 0.1f };
        using GraphRunner without = new(_folder["plain"], KernelPath.Supported[0], adapters: stack);
        RunnerSequence[] a = [new(), new()], b = [new(), new()];
        RunnerResult got = with.Run(Adapted(a)), want = without.Run(Adapted(b));
        Assert.Equal(want.Logits, got.Logits);
        Assert.NotEqual(want.Logits[..with.VocabSize], want.Logits[(Tokens(0).Length * with.VocabSize)..][..with.VocabSize]);

        RunnerChunk[] Adapted(RunnerSequence[] sequences) => [new RunnerChunk(sequences[0], Tokens(0)) { Adapter = 0 }, new RunnerChunk(sequences[1], Tokens(0))];
    }

    // Four kinds of tokens: two prompts, a few drafts, one token.
    private static long[] Tokens(int kind)
    {
        Random random = new(kind);
        return [.. Enumerable.Range(0, kind switch { 0 => 17, 1 => 9, 2 => 4, _ => 1 }).Select(_ => (long)random.Next(16, 200))];
    }

    private static RunnerChunk[] Chunks(RunnerSequence[] sequences, int sparse, int first, int second) =>
        [new RunnerChunk(sequences[0], Tokens(first)) { Sparse = sparse == 0 }, new RunnerChunk(sequences[1], Tokens(second)) { Sparse = sparse == 1 }];

    private static void Rewind(RunnerSequence[] sequences, params int[] kinds)
    {
        for (int i = 0; i < sequences.Length; i++)
        {
            int length = Tokens(kinds[i]).Length;
            if (sequences[i].Length - length >= Tokens(i).Length)
            {
                sequences[i].Length -= length;
                sequences[i].Tokens.RemoveRange(sequences[i].Length, length);
            }
        }
    }

    private void Export(string model, WeightPrecision precision, RandomCheckpointOptions? options = null)
    {
        if (model == "longcat")
        {
            RandomCheckpoint.Write(_folder["in"], options ?? new RandomCheckpointOptions { Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = model, Layers = 3 });
        }

        ExportOptions export = new()
        {
            Precision = precision,
            Quantization = precision == WeightPrecision.W4A8 ? new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } : null,
        };
        OnnxExporter.Export(_folder["in"], _folder["plain"], export);
        OnnxExporter.Export(_folder["in"], _folder["sparse"], export with { SparseVerification = true });
    }

    private ModelProto Model(string folder, string name) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder[folder], name)));
}
