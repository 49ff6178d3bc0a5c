using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;

namespace LongCat.ML.Modules.Tests;

/// <summary>A model of random weights small enough for any test.</summary>
internal static class TinyConfig
{
    public const string Json = """
        {
          "architectures": ["LongcatFlashNgramForCausalLM"], "vocab_size": 50, "hidden_size": 24, "num_layers": 1, "num_attention_heads": 2,
          "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "head_dim": 4, "v_head_dim": 8,
          "ffn_hidden_size": 32, "expert_ffn_hidden_size": 16, "n_routed_experts": 4, "zero_expert_num": 2, "zero_expert_type": "identity",
          "moe_topk": 2, "routed_scaling_factor": 1.5, "rope_theta": 10000.0, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
          "ngram_vocab_size_ratio": 2.4, "emb_neighbor_num": 3, "emb_split_num": 2, "num_nextn_predict_layers": 1,
          "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": false
        }
        """;

    public static LongcatFlashForCausalLM Create(ulong seed = 1)
    {
        var model = LongcatFlashForCausalLM.Create(Read());
        WeightInitializer.Initialize(model, seed);
        return model;
    }

    public static LongcatFlashConfig Read()
    {
        string folder = Directory.CreateTempSubdirectory("longcat-tiny").FullName;
        try
        {
            File.WriteAllText(Path.Combine(folder, "config.json"), Json);
            return (LongcatFlashConfig)ModelConfig.Load(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
