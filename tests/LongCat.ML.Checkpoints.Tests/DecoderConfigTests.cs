using System.Text.Json.Nodes;
using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>config.json of the decoder families: published values and sizes, what each family fixes, and refusals.</summary>
public sealed class DecoderConfigTests
{
    // The values of published config.json files, and the parameter counts that their model cards state.
    public static TheoryData<string, string, double> Published => new()
    {
        {
            "Llama-2-7B, as first published (no rope_theta, no num_key_value_heads)",
            """{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-05, "rope_scaling": null, "tie_word_embeddings": false, "vocab_size": 32000}""",
            6.738
        },
        {
            "Llama-3.2-1B",
            """{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256}""",
            1.236
        },
        {
            "Mistral-7B-v0.1",
            """{"architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000}""",
            7.242
        },
        {
            "Qwen2.5-0.5B",
            """{"architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936}""",
            0.494
        },
        {
            "Qwen3-0.6B",
            """{"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}""",
            0.596
        },
        {
            "Qwen3-30B-A3B",
            """{"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936}""",
            30.532
        },
        {
            "Mixtral-8x7B-v0.1",
            """{"architectures": ["MixtralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32000}""",
            46.703
        },
    };

    [Theory]
    [MemberData(nameof(Published))]
    public void Published_configs_have_their_published_parameters(string name, string json, double billions)
    {
        DecoderConfig config = Assert.IsType<DecoderConfig>(ModelConfig.Parse(json));
        IReadOnlyList<ExpectedTensor> tensors = config.ExpectedTensors(withMtp: false);
        Assert.True(Math.Abs((tensors.Sum(t => t.ElementCount) / 1e9) - billions) < 6e-4, $"{name}: {tensors.Sum(t => t.ElementCount)}");
        Assert.Equal(tensors.Count, tensors.Select(t => t.Name).Distinct().Count());
        Assert.Equal(config.TieWordEmbeddings, tensors.All(t => t.Name != "lm_head.weight"));
    }

    [Fact]
    public void Each_family_has_what_its_architecture_fixes()
    {
        DecoderConfig llama = Parse("LlamaForCausalLM", c => (c["attention_bias"], c["mlp_bias"]) = (true, true));
        Assert.True(llama is { QueryKeyValueBias: true, OutputBias: true, MlpBias: true, QueryKeyNorm: false, TieWordEmbeddings: false });
        DecoderConfig qwen2 = Parse("Qwen2ForCausalLM");
        Assert.True(qwen2 is { QueryKeyValueBias: true, OutputBias: false, MlpBias: false, QueryKeyNorm: false });
        DecoderConfig qwen3 = Parse("Qwen3ForCausalLM", c => c["head_dim"] = 20);
        Assert.True(qwen3 is { QueryKeyValueBias: false, OutputBias: false, QueryKeyNorm: true, HeadDim: 20, CacheWidth: 80 });
        Assert.Equal(1 / Math.Sqrt(20), qwen3.SoftmaxScale, 12);
        Assert.True(Parse("MistralForCausalLM") is { QueryKeyValueBias: false, OutputBias: false, HeadDim: 12, RmsNormEps: 1e-5 });

        DecoderMixtureConfig mixtral = Parse("MixtralForCausalLM").Mixture(1)!;
        Assert.True(mixtral is { NumExperts: 4, TopK: 2, ExpertSize: 32, NormalizeTopK: true });
        Assert.Equal("model.layers.1.block_sparse_moe.gate.weight", mixtral.RouterName(1));
        Assert.Equal("model.layers.1.block_sparse_moe.experts.3.w1.weight", mixtral.GateName(1, 3));
        Assert.Equal("model.layers.1.block_sparse_moe.experts.3.w3.weight", mixtral.UpName(1, 3));
        Assert.Equal("model.layers.1.block_sparse_moe.experts.3.w2.weight", mixtral.DownName(1, 3));
        DecoderMixtureConfig qwen = Parse("Qwen3MoeForCausalLM", c => c.Remove("norm_topk_prob")).Mixture(0)!;
        Assert.False(qwen.NormalizeTopK);
        Assert.Equal("model.layers.0.mlp.experts.2.up_proj.weight", qwen.UpName(0, 2));
    }

    [Fact]
    public void Sparse_layers_follow_the_step_and_the_exceptions()
    {
        DecoderConfig config = Parse("Qwen3MoeForCausalLM", c =>
        {
            c["num_hidden_layers"] = 6;
            c["decoder_sparse_step"] = 2;
            c["mlp_only_layers"] = new JsonArray(3);
        });
        Assert.Equal([false, true, false, false, false, true], Enumerable.Range(0, 6).Select(layer => config.Mixture(layer) is not null));
        Assert.Contains(config.ExpectedTensors(false), t => t.Name == "model.layers.3.mlp.gate_proj.weight" && t.Shape.SequenceEqual([64L, 48]));
    }

    [Theory]
    [InlineData("MistralForCausalLM", """{"sliding_window": 7}""", "7 7 7")]
    [InlineData("MistralForCausalLM", """{"sliding_window": null}""", "- - -")]
    [InlineData("MistralForCausalLM", """{}""", "4096 4096 4096")]
    [InlineData("MixtralForCausalLM", """{}""", "- - -")]
    [InlineData("MixtralForCausalLM", """{"sliding_window": 9}""", "9 9 9")]
    [InlineData("LlamaForCausalLM", """{"sliding_window": 7}""", "- - -")]
    [InlineData("Qwen2ForCausalLM", """{"sliding_window": 7}""", "- - -")]
    [InlineData("Qwen2ForCausalLM", """{"sliding_window": 7, "use_sliding_window": true}""", "- - -")]
    [InlineData("Qwen2ForCausalLM", """{"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 2}""", "- - 7")]
    [InlineData("Qwen3ForCausalLM", """{"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 0}""", "7 7 7")]
    [InlineData("Qwen3ForCausalLM", """{"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 0, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}""", "7 - 7")]
    [InlineData("Qwen3ForCausalLM", """{"use_sliding_window": true, "max_window_layers": 1}""", "- 4096 4096")]
    public void Windows_are_read_as_each_family_means_them(string architecture, string changes, string windows)
    {
        DecoderConfig config = Parse(architecture, c =>
        {
            c["num_hidden_layers"] = 3;
            c.Remove("sliding_window");
            c.Remove("use_sliding_window");
            c.Remove("max_window_layers");
            foreach ((string key, JsonNode? value) in JsonNode.Parse(changes)!.AsObject())
            {
                c[key] = value?.DeepClone();
            }
        });
        Assert.Equal(windows, string.Join(' ', Enumerable.Range(0, 3).Select(layer => config.Window(layer)?.ToString() ?? "-")));
    }

    [Theory]
    [InlineData("LlamaForCausalLM", 10_000)]
    [InlineData("MixtralForCausalLM", 1_000_000)]
    public void A_missing_rope_theta_is_the_familys_own(string architecture, double theta)
    {
        Assert.Equal(theta, Parse(architecture, c => c.Remove("rope_theta")).Rope.Theta);
        RopeConfig rope = Parse(architecture, c =>
        {
            c.Remove("rope_theta");
            c["rope_parameters"] = JsonNode.Parse("""{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}""");
        }).Rope;
        Assert.Equal(500_000, rope.Theta);
        Assert.Equal(RopeScalingType.Llama3, rope.Scaling!.Type);
    }

    [Theory]
    [InlineData("LlamaForCausalLM", "num_key_value_heads", "3", "num_key_value_heads is 3, expected a divisor of num_attention_heads (4)")]
    [InlineData("LlamaForCausalLM", "num_key_value_heads", "0", "num_key_value_heads is 0")]
    [InlineData("LlamaForCausalLM", "hidden_size", "50", "hidden_size is 50, expected an even multiple of num_attention_heads (4)")]
    [InlineData("LlamaForCausalLM", "head_dim", "15", "head_dim is 15, expected an even number")]
    [InlineData("LlamaForCausalLM", "intermediate_size", "null", "intermediate_size is missing")]
    [InlineData("LlamaForCausalLM", "num_hidden_layers", "0", "num_hidden_layers is 0")]
    [InlineData("LlamaForCausalLM", "hidden_act", "\"gelu\"", "hidden_act is \"gelu\", expected \"silu\"")]
    [InlineData("LlamaForCausalLM", "attention_bias", "1", "attention_bias is 1, expected true or false")]
    [InlineData("LlamaForCausalLM", "partial_rotary_factor", "0.5", "partial_rotary_factor is 0.5, expected 1")]
    [InlineData("LlamaForCausalLM", "rope_scaling", """{"type":"dynamic","factor":2}""", "rope_scaling.type is \"dynamic\", expected \"default\", \"yarn\"")]
    [InlineData("LlamaForCausalLM", "rope_scaling", """{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4}""", "rope_scaling.high_freq_factor is 4, expected more than low_freq_factor (4)")]
    [InlineData("LlamaForCausalLM", "rope_parameters", """{"full_attention":{"rope_theta":1e6}}""", "rope_parameters is one set for each kind of layer")]
    [InlineData("LlamaForCausalLM", "rope_theta", "\"big\"", "rope_theta is \"big\"")]
    [InlineData("LlamaForCausalLM", "num_attention_heads", "65536", "num_attention_heads is 65536")]
    [InlineData("LlamaForCausalLM", "quantization_config", """{"quant_method":"gptq"}""", "quantization_config.quant_method is \"gptq\"")]
    [InlineData("MistralForCausalLM", "attention_bias", "true", "attention_bias is true, expected false: MistralForCausalLM has no such biases")]
    [InlineData("Qwen3ForCausalLM", "mlp_bias", "true", "mlp_bias is true, expected false: Qwen3ForCausalLM has no such biases")]
    [InlineData("MistralForCausalLM", "sliding_window", "0", "sliding_window is 0")]
    [InlineData("Qwen3ForCausalLM", "layer_types", """["full_attention"]""", "layer_types is a list of 1, expected a list of 2 texts")]
    [InlineData("Qwen3ForCausalLM", "layer_types", """["full_attention", "linear_attention"]""", "layer_types is \"linear_attention\", expected a list of 2 texts, each one of \"full_attention\", \"sliding_attention\"")]
    [InlineData("Qwen3MoeForCausalLM", "num_experts_per_tok", "5", "num_experts_per_tok is 5, expected at most the number of experts (4)")]
    [InlineData("Qwen3MoeForCausalLM", "mlp_only_layers", "[2]", "mlp_only_layers is 2, expected a list of at most")]
    [InlineData("Qwen3MoeForCausalLM", "num_experts", "null", "num_experts is missing")]
    [InlineData("MixtralForCausalLM", "num_local_experts", "65536", "num_local_experts is 65536")]
    [InlineData("MixtralForCausalLM", "num_local_experts", "-1", "num_local_experts is -1")]
    public void A_bad_value_is_refused_with_key_value_and_expectation(string architecture, string key, string value, string fact)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Parse(architecture, c =>
        {
            c["use_sliding_window"] = true;
            c[key] = JsonNode.Parse(value);
            if (key == "num_attention_heads")
            {
                c["head_dim"] = 32;
            }
            else if (key == "num_local_experts")
            {
                c["num_hidden_layers"] = 8;
            }
        }));
        Assert.Contains(fact, e.Message);
    }

    /// <summary>Random damages of each family's config; nothing but CheckpointException may escape, and every size stays countable.</summary>
    [Fact]
    public void Random_damage_never_escapes_as_another_exception()
    {
        byte[] alphabet = "0123456789-.eE\"{}[],:truefalsn"u8.ToArray();
        Random random = new(20260103);
        for (int round = 0; round < 1200; round++)
        {
            string architecture = RandomDecoder.Architectures[round % RandomDecoder.Architectures.Count];
            byte[] damaged = System.Text.Encoding.UTF8.GetBytes(RandomDecoder.Config(new RandomDecoderOptions { Architecture = architecture, Window = 9 }).ToJsonString());
            for (int n = random.Next(1, 5); n > 0; n--)
            {
                damaged[random.Next(damaged.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : alphabet[random.Next(alphabet.Length)];
            }

            try
            {
                Assert.InRange(ModelConfig.Parse("config.json", damaged).ExpectedTensors(withMtp: true).Sum(t => (decimal)t.ElementCount), 1, long.MaxValue);
            }
            catch (CheckpointException)
            {
            }
        }
    }

    private static DecoderConfig Parse(string architecture, Action<JsonObject>? change = null)
    {
        JsonObject config = RandomDecoder.Config(new RandomDecoderOptions { Architecture = architecture });
        change?.Invoke(config);
        return Assert.IsType<DecoderConfig>(ModelConfig.Parse(config.ToJsonString(
            new System.Text.Json.JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping })));
    }
}
