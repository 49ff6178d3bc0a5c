using System.Text;
using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>config.json: published values, both spellings, and refusals that name key, value and expectation.</summary>
public sealed class ModelConfigTests
{
    /// <summary>LongCat-Flash-Lite's published values.</summary>
    internal const string Lite = """
        {"architectures": ["LongcatFlashNgramForCausalLM"], "vocab_size": 131072, "hidden_size": 3072, "num_layers": 14, "num_attention_heads": 32,
         "ffn_hidden_size": 6144, "expert_ffn_hidden_size": 1024, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
         "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256, "zero_expert_num": 128, "zero_expert_type": "identity", "moe_topk": 12,
         "routed_scaling_factor": 6.0, "norm_topk_prob": false, "attention_method": "MLA", "mla_scale_q_lora": true, "mla_scale_kv_lora": true,
         "rope_theta": 5000000.0, "max_position_embeddings": 327680, "rms_norm_eps": 1e-05, "bos_token_id": 1, "eos_token_id": [2, 3],
         "ngram_vocab_size_ratio": 78, "emb_neighbor_num": 4, "emb_split_num": 4, "num_nextn_predict_layers": 1,
         "rope_scaling": {"type": "deepseek_yarn", "factor": 10, "original_max_position_embeddings": 32768, "mscale": 1, "mscale_all_dim": 1}}
        """;

    [Fact]
    public void Lite_has_its_published_tensors_and_parameters()
    {
        LongcatFlashConfig config = Parse(Lite);
        Assert.Equal([2, 3], config.EosTokenIds);
        Assert.Equal(1, config.MtpLayers);
        Assert.Equal(Math.Sqrt(2), config.QueryScale, 12);
        Assert.Equal(Math.Sqrt(6), config.LatentScale, 12);
        Assert.Equal(576, config.CacheWidth);
        Assert.Equal(0.10923005, config.SoftmaxScale, 8);
        NGramConfig ngram = config.NGram!;
        Assert.Equal(12, ngram.TableCount);
        Assert.Equal(256, ngram.TableWidth);
        Assert.Equal(10_223_617, ngram.TableRows[0]);
        Assert.Equal(10_223_639, ngram.TableRows[11]);

        // 11,143 tensors and 17 of the MTP head, one of which is a copy of the embedding that nothing needs.
        IReadOnlyList<ExpectedTensor> tensors = config.ExpectedTensors(withMtp: false);
        Assert.Equal(11_143, tensors.Count);
        Assert.Equal(11_143 + 16, config.ExpectedTensors(withMtp: true).Count);
        Assert.Equal(31_406_985_216, tensors.Where(t => t.Name.Contains("embedders")).Sum(t => t.ElementCount));
        Assert.Equal(68.56, tensors.Sum(t => t.ElementCount) / 1e9, 2);
        Assert.Equal(tensors.Count, tensors.Select(t => t.Name).Distinct().Count());
    }

    [Fact]
    public void Chat_has_its_published_parameters()
    {
        LongcatFlashConfig config = Parse(Lite, c =>
        {
            c["architectures"] = new JsonArray("LongcatFlashForCausalLM");
            c["hidden_size"] = 6144;
            c["num_layers"] = null;
            c["num_hidden_layers"] = 28;
            c["num_attention_heads"] = 64;
            c["ffn_hidden_size"] = 12288;
            c["expert_ffn_hidden_size"] = 2048;
            c["n_routed_experts"] = 512;
            c["zero_expert_num"] = 256;
            c["rope_scaling"] = null;
            c["routed_scaling_factor"] = 6;
        });
        Assert.Null(config.NGram);
        Assert.Null(config.Rope.Scaling);
        Assert.Equal(2, config.QueryScale, 12);
        Assert.Equal(56, config.AttentionSubLayers);
        Assert.Equal(560.66, config.ExpectedTensors(withMtp: false).Sum(t => t.ElementCount) / 1e9, 2);
    }

    [Fact]
    public void The_oe_keys_give_the_oe_names()
    {
        LongcatFlashConfig config = Parse(Lite, c =>
        {
            c["architectures"] = new JsonArray("LongcatCausalLM");
            c.Remove("ngram_vocab_size_ratio");
            c.Remove("emb_neighbor_num");
            c.Remove("emb_split_num");
            c["vocab_size"] = 163840;
            c["hidden_size"] = 8192;
            c["oe_vocab_size_ratio"] = 100.567;
            c["oe_neighbor_num"] = 5;
            c["oe_split_num"] = 4;
            c["mtp_num_layers"] = 3;
            c.Remove("num_nextn_predict_layers");
            c["mtp_replicate_modules"] = true;
        });
        Assert.Equal(16_476_898, config.NGram!.TableRows[0]);
        Assert.Equal(16, config.NGram.TableCount);
        Assert.Equal("model.oe_embed_tokens7.weight", config.NGram.TableName(7));
        Assert.Equal("model.oe_embed_proj7.weight", config.NGram.ProjectionName(7));
        Assert.Equal(3, config.MtpLayers);
        Assert.Equal(1, config.PhysicalMtpLayers);
    }

    [Fact]
    public void Lite_Sparse_has_an_indexer_in_every_layer_and_in_the_draft_head()
    {
        LongcatFlashConfig config = Parse(Lite, Sparse);
        Assert.Equal(new AttentionIndexerConfig { NumHeads = 16, HeadDim = 128, TopK = 2048, InitTokens = 16, LocalTokens = 1024 }, config.Indexer);
        Dictionary<string, ExpectedTensor> tensors = config.ExpectedTensors(withMtp: true).ToDictionary(t => t.Name);
        Assert.Equal(11_143 + (14 * 4), config.ExpectedTensors(withMtp: false).Count);
        Assert.Equal(14 * 4, tensors.Values.Count(t => t.Group == TensorGroup.Indexer));
        Assert.Equal([2048, 1536], tensors["model.layers.13.self_attn.0.indexer.wq_b.weight"].Shape);
        Assert.Equal([128, 3072], tensors["model.layers.0.self_attn.0.indexer.wk.weight"].Shape);
        Assert.Equal([128], tensors["model.layers.0.self_attn.0.indexer.k_norm.weight"].Shape);
        Assert.Equal([16, 3072], tensors["model.layers.0.self_attn.0.indexer.weights_proj.weight"].Shape);
        Assert.Equal([2048, 1536], tensors["model.mtp.layers.0.self_attn.indexer.wq_b.weight"].Shape);
        Assert.DoesNotContain(tensors.Keys, name => name.Contains("self_attn.1.indexer"));
        Assert.Equal("model.oe_embed_tokens11.weight", config.NGram!.TableName(11));
        // LongCat-2.0 calls its attention MLA and has the keys of an indexer.
        Assert.NotNull(Parse(Lite, c => { Sparse(c); c["attention_method"] = "MLA"; }).Indexer);
        Assert.Null(Parse(Lite, c => { Sparse(c); c["attention_method"] = "MLA"; c.Remove("index_n_heads"); }).Indexer);
        // Adapters leave indexers alone.
        Assert.All(ModelModule.Of(config).Where(m => m.Path.Contains("indexer")), m => Assert.Equal(ModuleKind.Other, m.Kind));
    }

    [Theory]
    [InlineData("index_n_heads", "null", "index_n_heads is missing")]
    [InlineData("index_n_heads", "0", "index_n_heads is 0")]
    [InlineData("index_head_dim", "63", "index_head_dim is 63, expected at least qk_rope_head_dim (64)")]
    [InlineData("index_head_dim", "null", "index_head_dim is missing")]
    [InlineData("index_topk", "1039", "index_topk is 1039, expected at least index_init_tokens + index_local_tokens (16 + 1024)")]
    [InlineData("index_topk", "1e9", "index_topk is 1e9")]
    [InlineData("index_init_tokens", "-1", "index_init_tokens is -1")]
    [InlineData("index_local_tokens", "0", "index_local_tokens is 0")]
    [InlineData("index_k_norm_type", "\"layer\"", "index_k_norm_type is \"layer\", expected \"rms\"")]
    [InlineData("cli_factor", "4", "cli_factor is 4, expected 2: one indexer for the two attentions of a layer")]
    [InlineData("index_topk_pattern", "\"CSSS\"", "index_topk_pattern is set")]
    [InlineData("streaming_sparse_attention", """{"attention_layers": [3]}""", "expected no streaming attentions: the model's indexers choose what its attentions see")]
    public void A_bad_value_of_an_indexer_is_refused(string key, string value, string fact)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Parse(Lite, c => { Sparse(c); c[key] = JsonNode.Parse(value); }));
        Assert.Contains(fact, e.Message);
    }

    /// <summary>What Lite-Sparse's config.json has instead of Lite's keys.</summary>
    private static void Sparse(JsonObject c)
    {
        c["architectures"] = new JsonArray("LongcatCausalLM");
        foreach ((string old, string now) in (ReadOnlySpan<(string, string)>)[("ngram_vocab_size_ratio", "oe_vocab_size_ratio"), ("emb_neighbor_num", "oe_neighbor_num"), ("emb_split_num", "oe_split_num")])
        {
            c[now] = c[old]!.DeepClone();
            c.Remove(old);
        }

        c["attention_method"] = "LSA";
        c["index_n_heads"] = 16;
        c["index_head_dim"] = 128;
        c["index_topk"] = 2048;
        c["index_init_tokens"] = 16;
        c["index_local_tokens"] = 1024;
        c["index_k_norm_type"] = "rms";
        c["cli_factor"] = 2;
        c["rope_theta"] = 1e6;
        c["rope_scaling"] = JsonNode.Parse("""{"type": "deepseek_yarn", "original_max_position_embeddings": 8192, "factor": 120, "beta_fast": 32, "beta_slow": 1, "mscale": 1, "mscale_all_dim": 1}""");
        c["max_position_embeddings"] = 983040;
    }

    [Theory]
    [InlineData("""{"factor": 16, "rope_type": "yarn"}""", 1.2772588722239782, 1)]
    [InlineData("""{"factor": 16, "rope_type": "yarn", "mscale": 1}""", 1.2772588722239782, 1)]
    [InlineData("""{"factor": 120, "type": "deepseek_yarn", "mscale": 1, "mscale_all_dim": 1}""", 1, 2.1866991)]
    [InlineData("""{"factor": 16, "rope_type": "yarn", "attention_factor": 1.5}""", 1.5, 1)]
    [InlineData("""{"rope_type": "default"}""", 1, 1)]
    [InlineData("""{}""", 1, 1)]
    public void Missing_mscale_keys_follow_the_reference_implementation(string scaling, double multiplier, double softmax)
    {
        RopeConfig rope = Parse(Lite, c => c["rope_scaling"] = JsonNode.Parse(scaling)).Rope;
        Assert.Equal(multiplier, rope.Multiplier, 7);
        Assert.Equal(softmax, rope.SoftmaxFactor, 7);
    }

    [Fact]
    public void Rope_parameters_may_hold_theta()
    {
        RopeConfig rope = Parse(Lite, c =>
        {
            c.Remove("rope_theta");
            c.Remove("rope_scaling");
            c["rope_parameters"] = JsonNode.Parse("""{"rope_type": "default", "rope_theta": 1000000.0}""");
        }).Rope;
        Assert.Equal(1e6, rope.Theta);
        Assert.Null(rope.Scaling);
    }

    [Theory]
    [InlineData("vocab_size", "0", "vocab_size is 0, expected a whole number from 1 to 16777216")]
    [InlineData("vocab_size", "-5", "vocab_size is -5")]
    [InlineData("vocab_size", "1e30", "vocab_size is 1e30")]
    [InlineData("vocab_size", "\"many\"", "vocab_size is \"many\"")]
    [InlineData("vocab_size", "null", "vocab_size is missing")]
    [InlineData("hidden_size", "99999999999", "hidden_size is 99999999999")]
    [InlineData("hidden_size", "3071", "a multiple of 12")]
    [InlineData("num_layers", "100000", "num_layers is 100000")]
    [InlineData("num_layers", "2.5", "num_layers is 2.5")]
    [InlineData("rope_theta", "-1", "rope_theta is -1")]
    [InlineData("rope_theta", "\"NaN\"", "rope_theta is \"NaN\"")]
    [InlineData("rope_theta", "1e999", "rope_theta is 1e999")]
    [InlineData("rms_norm_eps", "-1e-5", "rms_norm_eps is -1e-5")]
    [InlineData("routed_scaling_factor", "0", "routed_scaling_factor is 0")]
    [InlineData("qk_rope_head_dim", "63", "an even number")]
    [InlineData("head_dim", "128", "head_dim is 128, expected qk_rope_head_dim (64)")]
    [InlineData("num_key_value_heads", "8", "expected num_attention_heads (32)")]
    [InlineData("moe_topk", "385", "at most n_routed_experts + zero_expert_num (384)")]
    [InlineData("zero_expert_type", "\"copy\"", "zero_expert_type is \"copy\", expected \"identity\" or \"drop\"")]
    [InlineData("eos_token_id", "131072", "eos_token_id is 131072")]
    [InlineData("eos_token_id", "[2, -1]", "eos_token_id is -1")]
    [InlineData("eos_token_id", "\"</s>\"", "eos_token_id is \"</s>\"")]
    [InlineData("mla_scale_q_lora", "1", "mla_scale_q_lora is 1, expected true or false")]
    [InlineData("attention_method", "\"LSA\"", "attention_method is \"LSA\", expected plain latent attention in LongcatFlashNgramForCausalLM: LongCat Sparse Attention and its indexer are LongcatCausalLM's")]
    [InlineData("index_n_heads", "16", "index_n_heads is set, expected plain latent attention in LongcatFlashNgramForCausalLM")]
    [InlineData("attention_method", "\"GQA\"", "attention_method is \"GQA\", expected \"MLA\" or \"LSA\"")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act is \"gelu\"")]
    [InlineData("tie_word_embeddings", "true", "tie_word_embeddings is true")]
    [InlineData("ngram_vocab_size_ratio", "1e300", "ngram_vocab_size_ratio is 1e300")]
    [InlineData("ngram_vocab_size_ratio", "-78", "ngram_vocab_size_ratio is -78")]
    [InlineData("ngram_vocab_size_ratio", "null", "ngram_vocab_size_ratio is missing")]
    [InlineData("emb_neighbor_num", "1", "emb_neighbor_num is 1")]
    [InlineData("oe_ignored_token_ids", "[5]", "LongCat-Next")]
    [InlineData("rope_scaling", "7", "rope_scaling is 7, expected an object")]
    [InlineData("rope_scaling", """{"rope_type":"yarn"}""", "rope_scaling.factor is missing")]
    [InlineData("rope_scaling", """{"rope_type":"yarn","factor":0.5}""", "rope_scaling.factor is 0.5")]
    [InlineData("rope_scaling", """{"rope_type":"longrope","factor":2}""", "rope_scaling.rope_type is \"longrope\"")]
    [InlineData("rope_scaling", """{"rope_type":"yarn","factor":2,"mscale":-1}""", "rope_scaling.mscale is -1")]
    [InlineData("quantization_config", """{"quant_method":"awq"}""", "quantization_config.quant_method is \"awq\"")]
    [InlineData("quantization_config", """{"quant_method":"fp8","weight_block_size":[0,128]}""", "quantization_config.weight_block_size is [0,128]")]
    [InlineData("architectures", """["GptOssForCausalLM"]""", "architectures[0] is \"GptOssForCausalLM\", expected one of LongcatFlashForCausalLM, LongcatFlashNgramForCausalLM, LongcatCausalLM, LlamaForCausalLM, MistralForCausalLM, MixtralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Qwen3MoeForCausalLM")]
    [InlineData("architectures", "[]", "architectures is missing or empty")]
    [InlineData("architectures", "[7]", "architectures is 7")]
    [InlineData("n_routed_experts", "60000", "at most 14285 experts in each of 14 layers")]
    public void A_bad_value_is_refused_with_key_value_and_expectation(string key, string value, string fact)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Parse(Lite, c => c[key] = JsonNode.Parse(value)));
        Assert.Contains(fact, e.Message);
        Assert.Equal("config.json", e.File);
    }

    [Theory]
    [InlineData("", "not valid JSON")]
    [InlineData("[]", "holds no JSON object")]
    [InlineData("{\"architectures\":", "not valid JSON")]
    [InlineData("{\"vocab_size\": NaN}", "not valid JSON")]
    [InlineData("{\"vocab_size\": 1, \"vocab_size\": 2}", "not valid JSON")]
    public void A_file_that_is_no_object_is_refused(string json, string fact) =>
        Assert.Contains(fact, Assert.Throws<CheckpointException>(() => ModelConfig.Parse(json)).Message);

    /// <summary>1,000 random damages of a config; nothing but CheckpointException may escape.</summary>
    [Fact]
    public void Random_damage_never_escapes_as_another_exception()
    {
        byte[] whole = Encoding.UTF8.GetBytes(Lite);
        byte[] alphabet = "0123456789-.eE\"{}[],:truefalsn"u8.ToArray();
        Random random = new(20260102);
        for (int round = 0; round < 1000; round++)
        {
            byte[] damaged = [.. whole];
            for (int n = random.Next(1, 5); n > 0; n--)
            {
                damaged[random.Next(damaged.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : alphabet[random.Next(alphabet.Length)];
            }

            try
            {
                ModelConfig config = ModelConfig.Parse("config.json", damaged);
                Assert.InRange(config.ExpectedTensors(withMtp: true).Sum(t => (decimal)t.ElementCount), 1, long.MaxValue);
            }
            catch (CheckpointException)
            {
            }
        }
    }

    private static LongcatFlashConfig Parse(string json, Action<JsonObject>? change = null)
    {
        JsonObject config = JsonNode.Parse(json)!.AsObject();
        change?.Invoke(config);
        return Assert.IsType<LongcatFlashConfig>(ModelConfig.Parse(config.ToJsonString(
            new System.Text.Json.JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping })));
    }
}
