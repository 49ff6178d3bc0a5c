using System.Text;

namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>adapter_config.json: what is read, what is kept, what is refused, and the bytes that Python would write.</summary>
public sealed class PeftConfigTests
{
    private const string Smallest = """{"peft_type": "LORA", "target_modules": ["q_proj"]}""";

    [Fact]
    public void The_smallest_file_has_pefts_defaults()
    {
        PeftConfig config = PeftConfig.Parse(Smallest);
        Assert.Equal(("LORA", 8, 8.0, 0.0, false, false, "true", "none"), (config.PeftType, config.Rank, config.Alpha, config.Dropout, config.UseRsLora, config.UseDora, config.InitLoraWeights, config.Bias));
        Assert.Equal(["q_proj"], config.Targets!.List);
        Assert.Null(config.TaskType);
        Assert.Equal(1, config.ScaleOf("q_proj"));
    }

    [Fact]
    public void Bytes_are_pythons_also_for_keys_that_are_not_known()
    {
        // The second text is what Python's json.dumps(json.loads(first), indent=2, sort_keys=True) gives.
        const string Given = """
            {"peft_type": "LORA", "r": 4, "lora_alpha": 16.0, "lora_dropout": 1E-5, "target_modules": ["b", "a"], "rank_pattern": {"\u00e9\"\\\n\u007f": 2, "a": 1},
             "alpha_pattern": {"a": 5.656854249492381, "z": 1e16, "y": 123456789.125, "x": 1e-4}, "layers_to_transform": 3,
             "zzz_new_key": {"b": [1, 2.50, true, null], "a": {}}, "base_model_name_or_path": "a/b", "inference_mode": true, "eva_config": null, "e": []}
            """;
        const string Python = """
            {
              "alpha_pattern": {
                "a": 5.656854249492381,
                "x": 0.0001,
                "y": 123456789.125,
                "z": 1e+16
              },
              "base_model_name_or_path": "a/b",
              "e": [],
              "eva_config": null,
              "inference_mode": true,
              "layers_to_transform": 3,
              "lora_alpha": 16.0,
              "lora_dropout": 1e-05,
              "peft_type": "LORA",
              "r": 4,
              "rank_pattern": {
                "a": 1,
                "\u00e9\"\\\n\u007f": 2
              },
              "target_modules": [
                "b",
                "a"
              ],
              "zzz_new_key": {
                "a": {},
                "b": [
                  1,
                  2.5,
                  true,
                  null
                ]
              }
            }
            """;
        PeftConfig config = PeftConfig.Parse(Given);
        Assert.Equal([3], config.LayersToTransform!);
        Assert.Equal(Python, Encoding.ASCII.GetString(config.ToBytes(null)));

        // A change changes its own key alone; a key that was not there comes in with its value.
        string changed = Encoding.ASCII.GetString((config with { Rank = 5, UseDora = true, ModulesToSave = ["lm_head"] }).ToBytes(null));
        Assert.Equal(
            Python.Replace("\"r\": 4", "\"r\": 5").Replace("  \"peft_type\"", "  \"modules_to_save\": [\n    \"lm_head\"\n  ],\n  \"peft_type\"")
                .Replace("  \"zzz_new_key\"", "  \"use_dora\": true,\n  \"zzz_new_key\""),
            changed);
    }

    [Fact]
    public void A_new_configuration_has_all_of_pefts_keys_and_comes_back()
    {
        using CheckpointFolder folder = new();
        PeftConfig config = new()
        {
            Rank = 16, Alpha = 32, Dropout = 0.05, UseRsLora = true, InitLoraWeights = "gaussian", BaseModelNameOrPath = "meituan-longcat/LongCat-Flash-Lite",
            Targets = AdapterTargets.Names("q_proj", "v_proj"), ExcludeModules = AdapterTargets.Regex(".*0.*"), ModulesToSave = ["lm_head"],
            RankPattern = new Dictionary<string, int> { ["q_proj"] = 4 }, AlphaPattern = new Dictionary<string, double> { ["v_proj"] = 1.5 }, LayersToTransform = [1, 2], LayersPattern = ["layers"],
        };
        config.Save(folder.Path);
        string text = File.ReadAllText(folder.File("adapter_config.json"));
        Assert.StartsWith("{\n  \"alpha_pattern\": {\n    \"v_proj\": 1.5\n  },\n  \"auto_mapping\": null,\n", text);
        Assert.Contains("\"lora_alpha\": 32,\n", text);
        Assert.Contains("\"inference_mode\": true,\n", text);
        Assert.Contains("\"lora_dropout\": 0.05,\n", text);
        Assert.EndsWith("\"use_rslora\": true\n}", text);
        Assert.Equal(["adapter_config.json"], Directory.EnumerateFileSystemEntries(folder.Path).Select(Path.GetFileName));
        PeftConfig read = PeftConfig.Load(folder.Path);
        Assert.Equal(text, Encoding.ASCII.GetString(read.ToBytes(null)));
        Assert.Equal((16, 32.0, 0.05, true, "gaussian"), (read.Rank, read.Alpha, read.Dropout, read.UseRsLora, read.InitLoraWeights));
        Assert.Equal((4, 8.0), (read.RankOf("a.q_proj"), read.ScaleOf("a.q_proj") / 2));
        Assert.Equal((config.Targets, config.ExcludeModules), (read.Targets, read.ExcludeModules));
        Assert.Equal(["lm_head"], read.ModulesToSave!);
        Assert.Equal([1, 2], read.LayersToTransform!);
        Assert.Equal(["layers"], read.LayersPattern!);
    }

    [Fact]
    public void Presets_are_written_as_expressions_that_find_the_same_modules()
    {
        LongcatFlashConfig model = RandomAdapter.Flash with { NumLayers = 3 };
        foreach (string preset in AdapterTargets.PresetNames)
        {
            foreach (int[]? layers in new int[]?[] { null, [0, 2] })
            {
                PeftConfig config = new() { Targets = AdapterTargets.Preset(preset), LayersToTransform = layers };
                PeftConfig read = PeftConfig.Parse(Encoding.ASCII.GetString(config.ToBytes(config.Resolve(model))));
                Assert.Equal(config.Resolve(model), read.Resolve(model));
                Assert.Null(read.LayersToTransform);
            }
        }
    }

    [Theory]
    [InlineData("""{"target_modules": ["q"]}""", "peft_type is missing, expected LORA")]
    [InlineData("""{"peft_type": "ADALORA", "target_modules": ["q"]}""", "peft_type is ADALORA, expected LORA")]
    [InlineData("""{"peft_type": "LORA"}""", "target_modules is missing")]
    [InlineData("""{"peft_type": "LORA", "target_modules": []}""", "target_modules is missing")]
    [InlineData("""{"peft_type": "LORA", "target_modules": 3}""", "target_modules is 3, expected a text")]
    [InlineData("""{"peft_type": "LORA", "target_modules": [""]}""", "expected a module's path or the end of one")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "r": 0}""", "r is 0, expected 1 to 65536")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "r": 2.5}""", "r is 2.5, expected a whole number")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "rank_pattern": {"q": -1}}""", "rank_pattern gives -1")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "rank_pattern": {"q": "x"}}""", "rank_pattern.q is \"x\", expected a whole number")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "lora_alpha": "8"}""", "lora_alpha is \"8\", expected a number")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "lora_dropout": 1}""", "lora_dropout is 1, expected 0 to below 1")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "bias": "some"}""", "bias is some, expected none, all or lora_only")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ".*q", "layers_to_transform": [1]}""", "layers_to_transform goes with names")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "layers_pattern": "h"}""", "layers_pattern is given without layers_to_transform")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "use_dora": "yes"}""", "use_dora is \"yes\", expected true or false")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "use_dora": true, "lora_bias": true}""", "lora_bias and use_dora are both set")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "alora_invocation_tokens": [5]}""", "alora_invocation_tokens is set (activated LoRA")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "use_qalora": true}""", "use_qalora is set (QA-LoRA)")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "kasa_config": {"beta": 1}}""", "kasa_config is set (KaSA)")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "trainable_token_indices": [1]}""", "trainable_token_indices is set")]
    [InlineData("""{"peft_type": "LORA", "target_modules": ["q"], "r": 4, "r": 5}""", "not valid JSON")]
    [InlineData("""["LORA"]""", "holds no JSON object")]
    [InlineData("{\"peft_type\": \"LORA\"", "not valid JSON")]
    public void Bad_files_are_refused_by_key_and_value(string json, string expected)
    {
        AdapterException e = Assert.Throws<AdapterException>(() => PeftConfig.Parse(json, "here/adapter_config.json"));
        Assert.StartsWith("here/adapter_config.json: ", e.Message);
        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public void Settings_that_are_off_are_read_over()
    {
        PeftConfig config = PeftConfig.Parse("""
            {"peft_type": "LORA", "target_modules": "all-linear", "use_qalora": false, "qalora_group_size": 16, "alora_invocation_tokens": null, "trainable_token_indices": null, "layer_replication": null,
             "runtime_config": {"ephemeral_gpu_offload": false}, "fan_in_fan_out": true, "init_lora_weights": "pissa_niter_16", "layers_to_transform": null, "megatron_core": "megatron.core"}
            """);
        Assert.Equal(AdapterTargets.AllLinear, config.Targets);
        Assert.True(config.ChangesBase);
        string text = Encoding.ASCII.GetString(config.ToBytes(null));
        Assert.DoesNotContain("runtime_config", text);
        Assert.Contains("\"fan_in_fan_out\": false", text);
        Assert.Contains("\"init_lora_weights\": \"pissa_niter_16\"", text);
    }

    [Fact]
    public void Missing_folders_and_files_say_what_is_there_instead()
    {
        using CheckpointFolder folder = new();
        Assert.Contains("the folder does not exist", Assert.Throws<AdapterException>(() => PeftConfig.Load(folder.File("none"))).Message);
        Assert.Contains("holds no adapter_config.json", Assert.Throws<AdapterException>(() => PeftConfig.Load(folder.Path)).Message);
        Assert.Contains("is a file", Assert.Throws<AdapterException>(() => PeftConfig.Load(folder.Write("file", "x"))).Message);
        folder.Write("config.json", "{}");
        Assert.Contains("holds a model, not an adapter", Assert.Throws<AdapterException>(() => PeftConfig.Load(folder.Path)).Message);
        Directory.CreateDirectory(folder.File("french"));
        folder.Write("french/adapter_config.json", Smallest);
        Assert.Contains("named adapters in french", Assert.Throws<AdapterException>(() => PeftConfig.Load(folder.Path)).Message);
        Assert.Equal(8, PeftConfig.Load(folder.File("french")).Rank);
    }
}
