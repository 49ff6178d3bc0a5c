using System.Text.Json.Nodes;

namespace LongCat.ML.Benchmarks;

/// <summary>The configuration of a model whose weights are generated.</summary>
/// <param name="Name">What the tables call it.</param>
/// <param name="Config">Its config.json.</param>
internal sealed record BenchmarkShape(string Name, JsonObject Config)
{
    /// <summary>1.1 billion parameters, the shape of TinyLlama: 22 layers, grouped queries 32 to 4.</summary>
    public static BenchmarkShape Llama { get; } = new("llama-1.1b", Decoder("LlamaForCausalLM", 32000, 2048, 22, 32, 4, 64, 5632, tied: false));

    /// <summary>0.6 billion parameters, the shape of the smallest Qwen3: head size 128, tied head over 151,936 tokens.</summary>
    public static BenchmarkShape Qwen { get; } = new("qwen3-0.6b", Decoder("Qwen3ForCausalLM", 151936, 1024, 28, 16, 8, 128, 3072, tied: true));

    /// <summary>1.0 billion parameters with the proportions of LongCat-Flash-Lite: half of them in n-gram tables, a third of the experts zero.</summary>
    public static BenchmarkShape Lite { get; } = new("lite-1.0b", LongCat(vocabulary: 32768, hidden: 1536, layers: 4, heads: 16, ratio: 10.37));

    /// <summary>The n-gram embedding of LongCat-Flash-Lite (hidden size 3072, 12 tables of width 256, together four times a large cache) before one small layer.</summary>
    public static BenchmarkShape NGram { get; } = new("ngram", LongCat(vocabulary: 8192, hidden: 3072, layers: 1, heads: 4, ratio: 2.37));

    /// <summary>Sixty-nine million parameters with layers as wide as those of a model of a billion, few of them, so that a long context is read in minutes: grouped queries 16 to 4.</summary>
    public static BenchmarkShape Wide { get; } = new("llama-wide", Decoder("LlamaForCausalLM", 4096, 1024, 4, 16, 4, 64, 4096, tied: false));

    /// <summary>The three shapes at a size that only shows that everything runs.</summary>
    public static IReadOnlyList<BenchmarkShape> Small { get; } =
    [
        new("small llama", Decoder("LlamaForCausalLM", 2048, 256, 2, 8, 2, 32, 512, tied: false)),
        new("small qwen3", Decoder("Qwen3ForCausalLM", 2048, 256, 2, 4, 2, 64, 512, tied: true)),
        new("small lite", LongCat(vocabulary: 2048, hidden: 192, layers: 2, heads: 4, ratio: 2.37)),
    ];

    public int VocabSize => (int)Config["vocab_size"]!;

    private static JsonObject Decoder(string architecture, int vocabulary, int hidden, int layers, int heads, int groups, int headDim, int ffn, bool tied) => new()
    {
        ["architectures"] = new JsonArray(architecture),
        ["vocab_size"] = vocabulary,
        ["hidden_size"] = hidden,
        ["intermediate_size"] = ffn,
        ["num_hidden_layers"] = layers,
        ["num_attention_heads"] = heads,
        ["num_key_value_heads"] = groups,
        ["head_dim"] = headDim,
        ["hidden_act"] = "silu",
        ["rope_theta"] = 1000000.0,
        ["max_position_embeddings"] = 8192,
        ["rms_norm_eps"] = 1e-6,
        ["bos_token_id"] = 1,
        ["eos_token_id"] = 2,
        ["tie_word_embeddings"] = tied,
        ["torch_dtype"] = "bfloat16",
    };

    private static JsonObject LongCat(int vocabulary, int hidden, int layers, int heads, double ratio) => new()
    {
        ["architectures"] = new JsonArray("LongcatFlashNgramForCausalLM"),
        ["vocab_size"] = vocabulary,
        ["hidden_size"] = hidden,
        ["num_layers"] = layers,
        ["num_attention_heads"] = heads,
        ["q_lora_rank"] = hidden / 2,
        ["kv_lora_rank"] = hidden / 6,
        ["qk_nope_head_dim"] = 64,
        ["qk_rope_head_dim"] = 32,
        ["v_head_dim"] = 64,
        ["ffn_hidden_size"] = 2 * hidden,
        ["expert_ffn_hidden_size"] = hidden / 4,
        ["n_routed_experts"] = 32,
        ["zero_expert_num"] = 16,
        ["zero_expert_type"] = "identity",
        ["moe_topk"] = 6,
        ["routed_scaling_factor"] = 6.0,
        ["ngram_vocab_size_ratio"] = ratio,
        ["emb_neighbor_num"] = 4,
        ["emb_split_num"] = 4,
        ["rope_theta"] = 5000000.0,
        ["max_position_embeddings"] = 8192,
        ["rms_norm_eps"] = 1e-5,
        ["bos_token_id"] = 1,
        ["eos_token_id"] = 2,
        ["tie_word_embeddings"] = false,
        ["torch_dtype"] = "bfloat16",
    };
}
