namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>Adapters of parameters that hold all experts of a layer (PEFT's target_parameters), against a reshaping of their own.</summary>
public sealed class FusedExpertTests
{
    private const string Path = "model.layers.0.mlp.experts";
    private const int Hidden = 16, Inner = 8, Experts = 2, ZeroExperts = 1;

    private static readonly string[] Both = ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"];

    /// <summary>
    /// The change of a parameter [E, out, in] as PEFT defines it: A reshaped to [E, r, in], B to [out, r, E], then einsum("o r e, e r i -> e o i"). Written with indices of
    /// the reshaped arrays, in another way than the code under test.
    /// </summary>
    private static double[,,] Delta(float[] a, float[] b, int experts, int rank, int input, int output, double scale)
    {
        double[,,] delta = new double[experts, output, input];
        for (int flatA = 0; flatA < a.Length; flatA++)
        {
            (int e, int r, int i) = (flatA / (rank * input), flatA / input % rank, flatA % input);
            for (int flatB = 0; flatB < b.Length; flatB++)
            {
                (int o, int rb, int eb) = (flatB / (rank * experts), flatB / experts % rank, flatB % experts);
                if (r == rb && e == eb)
                {
                    delta[e, o, i] += scale * a[flatA] * b[flatB];
                }
            }
        }

        return delta;
    }

    private static void Write(CheckpointFolder folder, string config, params (string Key, long[] Shape)[] tensors)
    {
        Directory.CreateDirectory(folder.File("a"));
        folder.Write("a/adapter_config.json", config);
        folder.WriteTensors("a/adapter_model.safetensors", tensors.Select(t => new TensorDeclaration("base_model.model." + t.Key, TensorType.Float32, t.Shape)));
    }

    private static string Config(IEnumerable<string> parameters, string more = "") =>
        $$"""{"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": null, "target_parameters": [{{string.Join(", ", parameters.Select(p => $"\"{p}\""))}}]{{more}}}""";

    [Theory]
    [InlineData(3, 2.0, "")]
    [InlineData(4, 3.5, ", \"rank_pattern\": {\"gate_up_proj\": 4}, \"alpha_pattern\": {\"gate_up_proj\": 14}")]
    public void Both_parameters_of_a_layer_become_the_matrices_of_each_expert(int gateUpRank, double gateUpScale, string patterns)
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);

        // The parameter that the model defines first is wrapped first, so it lies one level further in. Zero experts are counted in gate and up, as the reference model does.
        int all = Experts + ZeroExperts;
        Write(folder, Config(Both, patterns),
            ($"{Path}.lora_A.weight", [Experts * 3, Inner]), ($"{Path}.lora_B.weight", [Hidden, 3 * Experts]),
            ($"{Path}.base_layer.lora_A.weight", [all * gateUpRank, Hidden]), ($"{Path}.base_layer.lora_B.weight", [2 * Inner, gateUpRank * all]));
        using PeftAdapter adapter = PeftAdapter.Load(folder.File("a"), RandomAdapter.Flash);
        Assert.Equal(Experts * 3, adapter.Modules.Count);

        using SafetensorsFile file = SafetensorsFile.Open(folder.File("a/adapter_model.safetensors"));
        double[,,] down = Delta(file.ReadFloat32($"base_model.model.{Path}.lora_A.weight"), file.ReadFloat32($"base_model.model.{Path}.lora_B.weight"), Experts, 3, Inner, Hidden, 2);
        double[,,] gateUp = Delta(
            file.ReadFloat32($"base_model.model.{Path}.base_layer.lora_A.weight"), file.ReadFloat32($"base_model.model.{Path}.base_layer.lora_B.weight"), all, gateUpRank, Hidden, 2 * Inner, gateUpScale);
        using Checkpoint plain = Checkpoint.Open(folder.Path);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]);
        for (int e = 0; e < Experts; e++)
        {
            Compare(down, e, 0, "down_proj");
            Compare(gateUp, e, 0, "gate_proj");
            Compare(gateUp, e, Inner, "up_proj");
        }

        // As it was read it is written again, zero experts and all.
        using PeftAdapter whole = PeftAdapter.Load(folder.File("a"));
        Assert.Equal((all * 2) + Experts, whole.Modules.Count);
        whole.Save(folder.File("copy"));
        using SafetensorsFile copy = SafetensorsFile.Open(folder.File("copy/adapter_model.safetensors"));
        Assert.Equal(file.Tensors.Keys.Order(), copy.Tensors.Keys.Order());
        Assert.All(file.Tensors.Values, t => Assert.Equal(t.Shape, copy.Entry(t.Name).Shape));
        Assert.All(file.Tensors.Keys, name => Assert.Equal(file.ReadFloat32(name), copy.ReadFloat32(name)));

        // Apart, and together again for the model, it computes the same.
        adapter.Save(folder.File("apart"), ExpertLayout.PerExpert);
        using PeftAdapter apart = PeftAdapter.Load(folder.File("apart"), RandomAdapter.Flash);
        Assert.Null(apart.Config.TargetParameters);
        apart.Save(folder.File("again"), ExpertLayout.Fused, RandomAdapter.Flash);
        using PeftAdapter again = PeftAdapter.Load(folder.File("again"), RandomAdapter.Flash);
        foreach (PeftAdapter other in new[] { apart, again })
        {
            using Checkpoint same = Checkpoint.Open(folder.Path, [other]);
            Assert.Equal(merged.MergedTensors, same.MergedTensors);
            Assert.All(merged.MergedTensors, name => Assert.Equal(merged.ReadFloat32(name), same.ReadFloat32(name)));
        }

        void Compare(double[,,] delta, int e, int first, string projection)
        {
            string name = $"{Path}.{e}.{projection}.weight";
            float[] before = plain.ReadFloat32(name), after = merged.ReadFloat32(name);
            int columns = (int)plain.Entry(name).Shape[1];
            for (int at = 0; at < before.Length; at++)
            {
                double expected = before[at] + delta[e, first + (at / columns), at % columns];
                Assert.True(Math.Abs(expected - after[at]) <= 2e-6, $"{name} at {at}: {after[at]}, expected {expected}");
            }
        }
    }

    [Fact]
    public void The_order_of_b_is_not_that_of_a()
    {
        // With two experts of rank 2, columns 1 and 2 of B are (rank 0, expert 1) and (rank 1, expert 0): read expert by expert they would change places.
        using CheckpointFolder folder = new();
        Directory.CreateDirectory(folder.File("a"));
        folder.Write("a/adapter_config.json", """{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_parameters": ["experts.down_proj"]}""");
        using (SafetensorsWriter writer = SafetensorsWriter.Create(
            folder.File("a/adapter_model.safetensors"),
            [new($"base_model.model.{Path}.lora_A.weight", TensorType.Float32, [4, 1]), new($"base_model.model.{Path}.lora_B.weight", TensorType.Float32, [1, 4])]))
        {
            writer.Write($"base_model.model.{Path}.lora_A.weight", [1f, 10f, 100f, 1000f]);
            writer.Write($"base_model.model.{Path}.lora_B.weight", [2f, 3f, 5f, 7f]);
            writer.Complete();
        }

        using PeftAdapter adapter = PeftAdapter.Load(folder.File("a"));
        Assert.Equal([1, 10], adapter.Modules[$"{Path}.0.down_proj"].A);
        Assert.Equal([2, 5], adapter.Modules[$"{Path}.0.down_proj"].B);
        Assert.Equal([100, 1000], adapter.Modules[$"{Path}.1.down_proj"].A);
        Assert.Equal([3, 7], adapter.Modules[$"{Path}.1.down_proj"].B);
        Assert.Equal(1.0, adapter.Config.ScaleOf($"{Path}.1.down_proj"));
    }

    [Fact]
    public void Experts_that_were_trained_apart_are_stored_together_with_zeros_where_there_is_nothing()
    {
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        PeftConfig config = new()
        {
            Rank = 3, Alpha = 6, Dropout = 0.1, Targets = AdapterTargets.AllLinear, RankPattern = new Dictionary<string, int> { ["1.gate_proj"] = 2 },
            AlphaPattern = new Dictionary<string, double> { ["0.up_proj"] = 9 },
        };
        string[] modules = [$"{Path}.0.up_proj", $"{Path}.1.gate_proj", $"{Path}.1.up_proj", $"{Path}.1.down_proj", "model.layers.0.self_attn.0.o_proj"];
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, config, modules);
        Assert.Contains("give the base model's config", Assert.Throws<AdapterException>(() => adapter.Save(folder.File("none"), ExpertLayout.Fused)).Message);
        adapter.Save(folder.File("fused"), ExpertLayout.Fused, RandomAdapter.Flash);
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("fused/adapter_model.safetensors"));

        // Gate and up of expert 1 do not share A: rank 2 + 3, for all three experts of the parameter.
        Assert.Equal([5 * 3, Hidden], file.Entry($"base_model.model.{Path}.base_layer.lora_A.weight").Shape);
        Assert.Equal([2 * Inner, 5 * 3], file.Entry($"base_model.model.{Path}.base_layer.lora_B.weight").Shape);
        Assert.Equal([3 * Experts, Inner], file.Entry($"base_model.model.{Path}.lora_A.weight").Shape);
        using PeftAdapter read = PeftAdapter.Load(folder.File("fused"), RandomAdapter.Flash);
        Assert.Equal(Both, read.Config.TargetParameters!);
        Assert.Equal(0, read.Config.Dropout);
        using Checkpoint expected = Checkpoint.Open(folder.Path, [adapter]);
        using Checkpoint got = Checkpoint.Open(folder.Path, [read]);
        foreach (string name in got.MergedTensors)
        {
            // The scale of one expert is folded into B of the other's: one more rounding.
            Assert.True(expected.ReadFloat32(name).Zip(got.ReadFloat32(name), (a, b) => Math.Abs(a - b)).Max() <= 2e-6f, name);
        }

        using PeftAdapter dora = RandomAdapter.Of(RandomAdapter.Flash, new PeftConfig { UseDora = true, Targets = AdapterTargets.AllLinear }, [$"{Path}.0.up_proj"]);
        Assert.Contains("which PEFT does not have for fused experts", Assert.Throws<AdapterException>(() => dora.Save(folder.File("none"), ExpertLayout.Fused, RandomAdapter.Flash)).Message);
    }

    [Fact]
    public void Files_that_do_not_fit_their_parameters_are_refused()
    {
        using CheckpointFolder folder = new();
        Refused("expected 2: target_parameters names gate_up_proj and down_proj", Both, ($"{Path}.lora_A.weight", [6, Inner]), ($"{Path}.lora_B.weight", [Hidden, 6]));
        Refused("target_parameters names neither", ["mlp.weights"], ($"{Path}.lora_A.weight", [6, Inner]), ($"{Path}.lora_B.weight", [Hidden, 6]));
        Refused("expected [3 × experts, in]", ["experts.down_proj"], ($"{Path}.lora_A.weight", [7, Inner]), ($"{Path}.lora_B.weight", [Hidden, 7]));
        Refused("expected [3 × experts, in]", ["experts.down_proj"], ($"{Path}.lora_A.weight", [6, Inner]), ($"{Path}.lora_B.weight", [Hidden, 9]));
        Refused("out even (gate and up)", ["experts.gate_up_proj"], ($"{Path}.lora_A.weight", [6, Inner]), ($"{Path}.lora_B.weight", [5, 6]));
        Refused(
            "of which none leads from hidden to twice the inner width", Both, ($"{Path}.lora_A.weight", [6, Inner]), ($"{Path}.lora_B.weight", [Hidden, 6]),
            ($"{Path}.base_layer.lora_A.weight", [6, Inner]), ($"{Path}.base_layer.lora_B.weight", [Hidden, 6]));

        void Refused(string expected, string[] parameters, params (string, long[])[] tensors)
        {
            Write(folder, Config(parameters), tensors);
            Assert.Contains(expected, Assert.Throws<AdapterException>(() => PeftAdapter.Load(folder.File("a"))).Message);
        }
    }

    [Fact]
    public void Mixtral_has_its_own_names()
    {
        ModelConfig mixtral = ModelConfig.Parse("""
            {"architectures": ["MixtralForCausalLM"], "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8,
             "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "num_local_experts": 2, "num_experts_per_tok": 2}
            """);
        using CheckpointFolder folder = new();
        Write(folder, Config(Both),
            ($"{Path}.lora_A.weight", [Experts * 3, Inner]), ($"{Path}.lora_B.weight", [Hidden, 3 * Experts]),
            ($"{Path}.base_layer.lora_A.weight", [Experts * 3, Hidden]), ($"{Path}.base_layer.lora_B.weight", [2 * Inner, 3 * Experts]));
        using PeftAdapter adapter = PeftAdapter.Load(folder.File("a"), mixtral);
        const string Block = "model.layers.0.block_sparse_moe.experts.";
        Assert.Equal(
            [Block + "0.w1", Block + "0.w2", Block + "0.w3", Block + "1.w1", Block + "1.w2", Block + "1.w3"], adapter.Modules.Keys);
        Assert.Equal(2.0, adapter.Config.ScaleOf(Block + "1.w3"));
        adapter.Save(folder.File("copy"), ExpertLayout.Fused, mixtral);
        using PeftAdapter copy = PeftAdapter.Load(folder.File("copy"), mixtral);
        Assert.All(adapter.Modules.Values, m => Assert.Equal(m.A, copy.Modules[m.Module].A));
        Assert.All(adapter.Modules.Values, m => Assert.Equal(m.B, copy.Modules[m.Module].B));
    }
}
