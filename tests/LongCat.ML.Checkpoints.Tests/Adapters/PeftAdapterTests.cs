using System.Text;

namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>Adapters of our own saved and loaded, and files that are not what they should be.</summary>
public sealed class PeftAdapterTests
{
    private static readonly PeftConfig Config = new() { Rank = 2, Alpha = 4, Targets = AdapterTargets.Names("q_b_proj", "embed_tokens") };
    private static readonly string[] Paths = ["model.embed_tokens", "model.layers.0.self_attn.0.q_b_proj", "model.layers.0.self_attn.1.q_b_proj"];

    [Theory]
    [InlineData(TensorType.Float32)]
    [InlineData(TensorType.BFloat16)]
    [InlineData(TensorType.Float16)]
    public void An_adapter_comes_back_as_it_was_saved(TensorType type)
    {
        using CheckpointFolder folder = new();
        PeftConfig config = Config with { UseDora = true, ModulesToSave = ["lm_head"], BaseModelNameOrPath = "base" };
        float[] head = RandomAdapter.Values(new Random(2), 32 * 16, type);
        using PeftAdapter adapter = PeftAdapter.Create(
            config, RandomAdapter.Of(RandomAdapter.Flash, config, Paths, type: type).Modules.Values, [new AdapterTensor("lm_head.weight", [32, 16], head, type)]);
        adapter.Validate(RandomAdapter.Flash);
        adapter.Save(folder.File("a"));
        using PeftAdapter read = PeftAdapter.Load(folder.File("a"), RandomAdapter.Flash);
        Assert.Equal(adapter.ContentHash, read.ContentHash);
        Assert.Equal(64, read.ContentHash.Length);
        Assert.Equal(adapter.ParameterCount, read.ParameterCount);
        foreach (AdapterMatrix matrix in adapter.Modules.Values)
        {
            AdapterMatrix back = read.Modules[matrix.Module];
            Assert.Equal((matrix.Kind, matrix.Rank, matrix.Scale, matrix.In, matrix.Out, matrix.Type), (back.Kind, back.Rank, back.Scale, back.In, back.Out, back.Type));
            Assert.Equal(matrix.A, back.A);
            Assert.Equal(matrix.B, back.B);
            Assert.Equal(matrix.Magnitude, back.Magnitude);
        }

        Assert.Equal(head, read.SavedModules["lm_head.weight"].ReadFloat32());
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("a/adapter_model.safetensors"));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(
            [
                "base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.lora_embedding_A", "base_model.model.model.embed_tokens.lora_embedding_B",
                "base_model.model.model.embed_tokens.lora_magnitude_vector", "base_model.model.model.layers.0.self_attn.0.q_b_proj.lora_A.weight",
            ],
            file.Tensors.Values.OrderBy(t => t.Offset).Take(5).Select(t => t.Name));
        Assert.Equal([2, 32], file.Entry("base_model.model.model.embed_tokens.lora_embedding_A").Shape);
        Assert.Equal([16, 2], file.Entry("base_model.model.model.embed_tokens.lora_embedding_B").Shape);

        // What changes the function changes the hash.
        using PeftAdapter other = PeftAdapter.Create(config with { Alpha = 5 }, adapter.Modules.Values.Select(m => m with { Scale = 2.5 }), adapter.SavedModules.Values);
        Assert.NotEqual(adapter.ContentHash, other.ContentHash);
    }

    [Fact]
    public void Saving_replaces_an_adapter_and_nothing_else()
    {
        using CheckpointFolder folder = new();
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, Config, Paths);
        using PeftAdapter annealed = PeftAdapter.Create(Config, adapter.Modules.Values, afa: new AfaState { Beta = 0, Step = 9, TotalSteps = 9 });
        annealed.Save(folder.File("deep/a"));
        folder.Write("deep/a/README.md", "card");
        Directory.CreateDirectory(folder.File("deep/a/french"));
        Assert.True(File.Exists(folder.File("deep/a/afa_state.json")));
        adapter.Save(folder.File("deep/a"));
        Assert.Equal(["README.md", "adapter_config.json", "adapter_model.safetensors", "french"], Directory.EnumerateFileSystemEntries(folder.File("deep/a")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Single(Directory.EnumerateFileSystemEntries(folder.File("deep")));

        Directory.CreateDirectory(folder.File("other"));
        folder.Write("other/thesis.txt", "mine");
        Assert.Contains("holds files and is not an adapter", Assert.Throws<AdapterException>(() => adapter.Save(folder.File("other"))).Message);
        Assert.Contains("is a file", Assert.Throws<AdapterException>(() => adapter.Save(folder.File("other/thesis.txt"))).Message);
        Assert.Equal(["thesis.txt"], Directory.EnumerateFileSystemEntries(folder.File("other")).Select(Path.GetFileName));
    }

    [Fact]
    public void An_adapter_that_still_anneals_is_none_for_other_readers()
    {
        using CheckpointFolder folder = new();
        AfaState state = new() { Step = 30, TotalSteps = 1000, Beta = 0.9, Activation = AfaActivation.Silu, Schedule = AfaSchedule.Cosine, StartFraction = 0.01, EndFraction = 0.5, BetaStart = 1, Stairs = 7 };
        using PeftAdapter adapter = PeftAdapter.Create(Config with { BaseModelNameOrPath = "b" }, RandomAdapter.Of(RandomAdapter.Flash, Config, Paths).Modules.Values, afa: state);
        adapter.Save(folder.File("a"));
        Assert.Equal(["adapter_model.safetensors", "afa_state.json"], Directory.EnumerateFileSystemEntries(folder.File("a")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        using PeftAdapter read = PeftAdapter.Load(folder.File("a"));
        Assert.Equal(state, read.Afa);
        Assert.Equal(("b", 0.9), (read.Config.BaseModelNameOrPath, read.Beta));
        Assert.Equal(adapter.ContentHash, read.ContentHash);

        state.Save(folder.Path);
        Assert.Equal(state, AfaState.Load(folder.Path));
        Assert.Null(AfaState.Load(folder.File("none")));
        folder.Write("afa_state.json", File.ReadAllText(folder.File("afa_state.json")).Replace("\"silu\"", "\"tanh\""));
        Assert.Contains("activation is tanh, expected one of relu, silu, gelu", Assert.Throws<AdapterException>(() => AfaState.Load(folder.Path)).Message);
        folder.Write("afa_state.json", """{"format_version": 2}""");
        Assert.Contains("format_version is 2", Assert.Throws<AdapterException>(() => AfaState.Load(folder.Path)).Message);
        folder.Write("afa_state.json", "{");
        Assert.Contains("not valid JSON", Assert.Throws<AdapterException>(() => AfaState.Load(folder.Path)).Message);
        Assert.Contains("beta is 1.5", Assert.Throws<AdapterException>(() => (state with { Beta = 1.5 }).Save(folder.Path)).Message);
        Assert.Contains("beta is NaN", Assert.Throws<AdapterException>(() => (state with { Beta = double.NaN }).Save(folder.Path)).Message);
    }

    [Fact]
    public void A_start_that_was_taken_from_the_base_is_subtracted_exactly()
    {
        foreach (bool rsLora in new[] { false, true })
        {
            using CheckpointFolder folder = new();
            RandomAdapter.WriteBase(folder);
            PeftConfig config = Config with { UseRsLora = rsLora, InitLoraWeights = "pissa", RankPattern = new Dictionary<string, int> { ["1.q_b_proj"] = 3 }, AlphaPattern = new Dictionary<string, double> { ["embed_tokens"] = 7 } };
            using PeftAdapter trained = RandomAdapter.Of(RandomAdapter.Flash, config, Paths, seed: 1);
            using PeftAdapter start = RandomAdapter.Of(RandomAdapter.Flash, config, Paths, seed: 2);
            Assert.Contains("init_lora_weights is pissa", Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [trained])).Message);
            using PeftAdapter portable = trained.SubtractInitial(start.Modules);
            portable.Save(folder.File("portable"));
            using PeftAdapter read = PeftAdapter.Load(folder.File("portable"), RandomAdapter.Flash);
            Assert.Equal(("true", 4, 6), (read.Config.InitLoraWeights, read.Config.Rank, read.Modules[Paths[2]].Rank));
            using Checkpoint plain = Checkpoint.Open(folder.Path);
            using Checkpoint merged = Checkpoint.Open(folder.Path, [read]);
            foreach (string path in Paths)
            {
                // W - s B0 A0 is what training began with; s B A is added to that.
                float[] weight = plain.ReadFloat32(path + ".weight");
                double[] residual = RandomAdapter.Expected(weight, start.Modules[path] with { Scale = -start.Modules[path].Scale });
                double[] expected = [.. RandomAdapter.Expected(weight, trained.Modules[path]).Zip(residual, weight).Select(t => t.First + t.Second - t.Third)];
                Assert.True(expected.Zip(merged.ReadFloat32(path + ".weight"), (a, b) => Math.Abs(a - b)).Max() <= 3e-6);
            }

            Assert.Contains("has no initial matrices", Assert.Throws<AdapterException>(() => trained.SubtractInitial(new Dictionary<string, AdapterMatrix>())).Message);
        }
    }

    [Fact]
    public void Adapters_of_other_models_are_named_module_by_module()
    {
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, Config, Paths);
        LongcatFlashConfig other = RandomAdapter.Flash with { QLoraRank = 6 };
        AdapterException e = Assert.Throws<AdapterException>(() => adapter.Validate(other));
        Assert.Contains("2 of 3 modules do not fit the model", e.Message);
        Assert.Contains("model.layers.0.self_attn.0.q_b_proj: expected A [2, 6] and B [16, 2] for the model's [16, 6], got A [2, 8] and B [16, 2]", e.Message);

        // Names of another family: near ones are listed.
        AdapterMatrix llama = adapter.Modules[Paths[1]] with { Module = "model.layers.0.self_attn.q_proj" };
        using PeftAdapter foreign = PeftAdapter.Create(Config, [llama]);
        e = Assert.Throws<AdapterException>(() => foreign.Validate(RandomAdapter.Flash));
        Assert.Equal("model.layers.0.self_attn.q_proj", e.Module);
        Assert.Contains("is no module of the model (LongcatFlashForCausalLM); near names: model.layers.0.self_attn.0.o_proj", e.Message);

        using PeftAdapter kind = PeftAdapter.Create(Config, [llama with { Module = "model.embed_tokens" }]);
        Assert.Contains("has matrices of a projection (lora_A)", Assert.Throws<AdapterException>(() => kind.Validate(RandomAdapter.Flash)).Message.Replace("an embedding (lora_embedding_A)", "a projection (lora_A)"));
        using PeftAdapter norm = PeftAdapter.Create(Config, [llama with { Module = "model.norm" }]);
        Assert.Contains("takes no adapter", Assert.Throws<AdapterException>(() => norm.Validate(RandomAdapter.Flash)).Message);
        using PeftAdapter saved = PeftAdapter.Create(Config, [], [new AdapterTensor("lm_head.weight", [8, 16], new float[128]), new AdapterTensor("score.weight", [2], [1, 2])]);
        e = Assert.Throws<AdapterException>(() => saved.Validate(RandomAdapter.Flash));
        Assert.Contains("replaces a tensor of shape [32, 16], expected that shape, got [8, 16]", e.Message);
        Assert.Contains("score.weight: replaces a tensor that the model (LongcatFlashForCausalLM) does not have", e.Message);
        using PeftAdapter bias = PeftAdapter.Create(Config with { LoraBias = true }, [adapter.Modules[Paths[1]] with { Bias = new float[16] }]);
        Assert.Contains("has a bias of B (lora_bias), and the model's module has none", Assert.Throws<AdapterException>(() => bias.Validate(RandomAdapter.Flash)).Message);
    }

    [Fact]
    public void A_bias_of_b_is_added_to_the_modules_own_and_tied_ends_are_refused()
    {
        const string Qwen = """
            {"architectures": ["Qwen2ForCausalLM"], "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8,
             "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true}
            """;
        using CheckpointFolder folder = new();
        ModelConfig model = ModelConfig.Parse(Qwen);
        RandomAdapter.WriteBase(folder, config: model);
        folder.Write("config.json", Qwen);
        PeftConfig config = new() { Rank = 2, Alpha = 6, LoraBias = true, Targets = AdapterTargets.Names("q_proj") };
        using PeftAdapter adapter = RandomAdapter.Of(model, config, ["model.layers.0.self_attn.q_proj"]);
        using Checkpoint plain = Checkpoint.Open(folder.Path);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]);
        string bias = "model.layers.0.self_attn.q_proj.bias";
        float[] expected = [.. plain.ReadFloat32(bias).Zip(adapter.Modules.Values.Single().Bias!, (a, b) => a + (3 * b))];
        Assert.True(expected.Zip(merged.ReadFloat32(bias), (a, b) => Math.Abs(a - b)).Max() <= 1e-6f);

        using PeftAdapter embedding = RandomAdapter.Of(model, new PeftConfig { Targets = AdapterTargets.Names("embed_tokens") }, ["model.embed_tokens"]);
        Assert.Contains("tie_word_embeddings is true", Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [embedding])).Message);
        using PeftAdapter head = PeftAdapter.Create(config with { LoraBias = false }, [], [new AdapterTensor("lm_head.weight", [32, 16], new float[32 * 16])]);
        Assert.Contains("tie_word_embeddings is true", Assert.Throws<AdapterException>(() => Checkpoint.Open(folder.Path, [head])).Message);
    }

    [Fact]
    public void Bases_that_peft_stores_along_keep_their_keys_and_come_first_when_merged()
    {
        // With the embedding as target PEFT stores its base too, and older versions put saved modules under the wrapper's name.
        using CheckpointFolder folder = new();
        RandomAdapter.WriteBase(folder);
        Directory.CreateDirectory(folder.File("a"));
        folder.Write("a/adapter_config.json", """{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["embed_tokens"], "modules_to_save": ["lm_head"]}""");
        const string P = "base_model.model.";
        folder.WriteTensors("a/adapter_model.safetensors",
        [
            new(P + "model.embed_tokens.base_layer.weight", TensorType.Float32, [32, 16]), new(P + "model.embed_tokens.lora_embedding_A", TensorType.Float32, [2, 32]),
            new(P + "model.embed_tokens.lora_embedding_B", TensorType.Float32, [16, 2]), new(P + "lm_head.modules_to_save.weight", TensorType.Float32, [32, 16]),
        ]);
        using PeftAdapter adapter = PeftAdapter.Load(folder.File("a"), RandomAdapter.Flash);
        Assert.Equal(["lm_head.weight", "model.embed_tokens.weight"], adapter.SavedModules.Keys);
        using Checkpoint merged = Checkpoint.Open(folder.Path, [adapter]);
        double[] expected = RandomAdapter.Expected(adapter.SavedModules["model.embed_tokens.weight"].ReadFloat32(), adapter.Modules["model.embed_tokens"]);
        Assert.True(expected.Zip(merged.ReadFloat32("model.embed_tokens.weight"), (a, b) => Math.Abs(a - b)).Max() <= 1e-6);
        Assert.Equal(adapter.SavedModules["lm_head.weight"].ReadFloat32(), merged.ReadFloat32("lm_head.weight"));
        adapter.Save(folder.File("b"));
        using SafetensorsFile first = SafetensorsFile.Open(folder.File("a/adapter_model.safetensors")), second = SafetensorsFile.Open(folder.File("b/adapter_model.safetensors"));
        Assert.Equal(first.Tensors.Keys.Order(), second.Tensors.Keys.Order());
        Assert.All(first.Tensors.Keys, key => Assert.Equal(first.GetBytes(key), second.GetBytes(key)));
    }

    [Fact]
    public void What_cannot_be_an_adapter_is_refused_when_it_is_made()
    {
        AdapterMatrix good = RandomAdapter.Of(RandomAdapter.Flash, Config, Paths).Modules[Paths[1]];
        Assert.Contains("is empty", Create([]).Message);
        Assert.Contains("is given twice", Create([good, good]).Message);
        Assert.Contains("has rank 1, expected 2 by r (2)", Create([good with { Rank = 1, A = new float[8], B = new float[16] }]).Message);
        Assert.Contains("has scale 3, expected 2 by lora_alpha (4)", Create([good with { Scale = 3 }]).Message);
        Assert.Contains("A holds 1 NaN and 0 infinite of 16 values", Create([good with { A = [float.NaN, .. good.A.Skip(1)] }]).Message);
        Assert.Contains("B holds 0 NaN and 1 infinite", Create([good with { B = [.. good.B.Skip(1), float.PositiveInfinity] }]).Message);
        Assert.Contains("A has 3 values and B 32, expected [2, 8] and [16, 2]", Create([good with { A = new float[3] }]).Message);
        Assert.Contains("although use_dora is not set", Create([good with { Magnitude = new float[16] }]).Message);
        Assert.Contains("although lora_bias is not set", Create([good with { Bias = new float[16] }]).Message);
        Assert.Contains("use_dora is true", Assert.Throws<AdapterException>(() => PeftAdapter.Create(Config with { UseDora = true }, [good])).Message);
        Assert.Throws<ArgumentException>(() => new AdapterTensor("x", [2, 3], new float[5]));
        static AdapterException Create(AdapterMatrix[] matrices) => Assert.Throws<AdapterException>(() => PeftAdapter.Create(Config, matrices));
    }

    [Fact]
    public void An_order_of_patterns_that_the_file_cannot_keep_is_refused()
    {
        using CheckpointFolder folder = new();
        PeftConfig config = Config with { RankPattern = new Dictionary<string, int> { ["q_b_proj"] = 2, ["0.q_b_proj"] = 3 } };
        using PeftAdapter adapter = RandomAdapter.Of(RandomAdapter.Flash, config, [Paths[1]]);
        Assert.Contains("the file keeps no order of keys", Assert.Throws<AdapterException>(() => adapter.Save(folder.File("a"))).Message);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Broken_files_are_refused_by_key()
    {
        using CheckpointFolder folder = new();
        folder.Write("adapter_config.json", """{"peft_type": "LORA", "r": 2, "target_modules": ["q"]}""");
        Assert.Contains("adapter_model.safetensors: the file does not exist", Load().Message);
        folder.Write("adapter_model.bin", "pickle");
        Assert.Contains("adapter_model.bin, which is not read: loading a pickle can run any program", Load().Message);
        const string P = "base_model.model.m.q.";
        Assert.Contains("is empty", Written().Message);
        Assert.Contains("does not begin with base_model.model.", Written(("m.q.lora_A.weight", [2, 4])).Message);
        Assert.Contains("has base_model.model.m.q.lora_A.weight and no lora_B.weight beside it", Written((P + "lora_A.weight", [2, 4])).Message);
        Assert.Contains("has base_model.model.m.q.lora_B.weight and no lora_A.weight beside it", Written((P + "lora_B.weight", [4, 2])).Message);
        Assert.Contains("has neither lora_A.weight nor lora_B.weight", Written((P + "lora_magnitude_vector", [2])).Message);
        Assert.Contains("has shape [3, 4], expected rank 2 by r (2)", Written((P + "lora_A.weight", [3, 4]), (P + "lora_B.weight", [5, 3])).Message);
        Assert.Contains("has shape [5, 3], expected [out, 2]", Written((P + "lora_A.weight", [2, 4]), (P + "lora_B.weight", [5, 3])).Message);
        Assert.Contains("has shape [2, 4, 1], expected a matrix", Written((P + "lora_A.weight", [2, 4, 1]), (P + "lora_B.weight", [5, 2])).Message);
        Assert.Contains("is a part of an adapter that is not supported", Written((P + "lora_A.default.weight", [2, 4])).Message);
        Assert.Contains("is a part of an adapter that is not supported", Written((P + "lora_diag", [2])).Message);
        Assert.Contains("although use_dora is not set", Written((P + "lora_A.weight", [2, 4]), (P + "lora_B.weight", [5, 2]), (P + "lora_magnitude_vector", [5])).Message);
        Assert.Contains("has shape [4], expected [5]", Written((P + "lora_A.weight", [2, 4]), (P + "lora_B.weight", [5, 2]), (P + "lora_magnitude_vector", [4])).Message);
        folder.Write("adapter_model.safetensors", CheckpointFolder.Safetensors("{\"" + P + "lora_A.weight\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", new byte[8]));
        Assert.Contains("is I64, expected F32, BF16 or F16", Load().Message);
        folder.Write("adapter_model.safetensors", CheckpointFolder.Safetensors("{\"" + "base_model.model.lm_head.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", BitConverter.GetBytes(float.NaN)));
        Assert.Contains("lm_head.weight: holds 1 NaN", Load().Message);
        folder.Write("adapter_model.safetensors", Encoding.ASCII.GetBytes("12345678not safetensors"));
        Assert.Contains("adapter_model.safetensors", Load().Message);

        AdapterException Load() => Assert.Throws<AdapterException>(() => PeftAdapter.Load(folder.Path));

        AdapterException Written(params (string Name, long[] Shape)[] tensors)
        {
            folder.WriteTensors("adapter_model.safetensors", tensors.Select(t => new TensorDeclaration(t.Name, TensorType.Float32, t.Shape)));
            return Load();
        }
    }
}
