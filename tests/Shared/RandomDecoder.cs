using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.TestShared;

/// <summary>Tiny checkpoints of the plain decoder families with random weights; the same options give the same bytes on every machine.</summary>
internal static class RandomDecoder
{
    /// <summary>The families.</summary>
    public static IReadOnlyList<string> Architectures { get; } =
        ["LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "MixtralForCausalLM"];

    /// <summary>Name and options of small models that together use everything a family can have; windows are shorter than a prompt of 24 tokens.</summary>
    public static IReadOnlyDictionary<string, RandomDecoderOptions> Models { get; } = new Dictionary<string, RandomDecoderOptions>
    {
        ["Llama with biases"] = new() { Biases = true, Seed = 2 },
        ["Llama, llama3 rope, one head each"] = new() { Llama3Rope = true, Heads = 2, KeyValueHeads = 2, MaxPositions = 64, Seed = 3 },
        ["Mistral"] = new() { Architecture = "MistralForCausalLM", Window = 7, Seed = 4 },
        ["Mistral without window"] = new() { Architecture = "MistralForCausalLM", KeyValueHeads = 1, Seed = 5 },
        ["Qwen2, tied"] = new() { Architecture = "Qwen2ForCausalLM", Tied = true, Seed = 6 },
        ["Qwen2, window from layer 1"] = new() { Architecture = "Qwen2ForCausalLM", Window = 5, FirstWindowLayer = 1, Layers = 3, Seed = 7 },
        ["Qwen3 with biases"] = new() { Architecture = "Qwen3ForCausalLM", HeadDim = 20, Biases = true, Window = 9, Seed = 8 },
        ["Qwen3-MoE, weights not normalized"] = new() { Architecture = "Qwen3MoeForCausalLM", NormalizeTopK = false, Experts = 6, TopK = 3, Seed = 9 },
        ["Mixtral with a window"] = new() { Architecture = "MixtralForCausalLM", Window = 1, Seed = 10 },
    };

    /// <summary>Writes config.json, model.safetensors and, when asked for, tokenizer.json into a folder, which is created.</summary>
    /// <returns>The folder.</returns>
    public static string Write(string folder, RandomDecoderOptions? options = null)
    {
        options ??= new RandomDecoderOptions();
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config(options).ToJsonString());
        if (options.Tokenizer)
        {
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), RandomCheckpoint.Tokenizer(options.VocabSize).ToJsonString());
        }

        RandomCheckpoint.WriteTensors(Path.Combine(folder, "model.safetensors"), ModelConfig.Load(folder).ExpectedTensors(withMtp: false), options.Seed, options.BFloat16);
        return folder;
    }

    /// <summary>The config.json of the options.</summary>
    public static JsonObject Config(RandomDecoderOptions options)
    {
        JsonObject config = new()
        {
            ["architectures"] = new JsonArray(options.Architecture),
            ["vocab_size"] = options.VocabSize,
            ["hidden_size"] = options.HiddenSize,
            ["intermediate_size"] = options.Architecture == "MixtralForCausalLM" ? options.ExpertSize : options.IntermediateSize,
            ["num_hidden_layers"] = options.Layers,
            ["num_attention_heads"] = options.Heads,
            ["num_key_value_heads"] = options.KeyValueHeads,
            ["hidden_act"] = "silu",
            ["rope_theta"] = 10000.0,
            ["max_position_embeddings"] = options.MaxPositions,
            ["rms_norm_eps"] = 1e-5,
            ["bos_token_id"] = RandomCheckpoint.BosTokenId,
            ["eos_token_id"] = RandomCheckpoint.EosTokenId,
            ["tie_word_embeddings"] = options.Tied,
            ["sliding_window"] = options.Window,
            ["torch_dtype"] = options.BFloat16 ? "bfloat16" : "float32",
        };
        if (options.HeadDim is int headDim)
        {
            config["head_dim"] = headDim;
        }

        if (options.Biases)
        {
            config["attention_bias"] = true;
            config["mlp_bias"] = options.Architecture == "LlamaForCausalLM";
        }

        if (options.Architecture.StartsWith("Qwen", StringComparison.Ordinal))
        {
            config["use_sliding_window"] = options.Window is not null;
            config["max_window_layers"] = options.FirstWindowLayer;
        }

        if (options.Architecture is "Qwen3MoeForCausalLM" or "MixtralForCausalLM")
        {
            config[options.Architecture == "MixtralForCausalLM" ? "num_local_experts" : "num_experts"] = options.Experts;
            config["num_experts_per_tok"] = options.TopK;
            config["moe_intermediate_size"] = options.ExpertSize;
            config["norm_topk_prob"] = options.NormalizeTopK;
        }

        if (options.Llama3Rope || options.Yarn)
        {
            config["rope_scaling"] = new JsonObject
            {
                ["rope_type"] = options.Yarn ? "yarn" : "llama3",
                ["factor"] = 4,
                ["low_freq_factor"] = 1,
                ["high_freq_factor"] = 4,
                ["original_max_position_embeddings"] = options.MaxPositions / 4,
            };
        }

        return config;
    }
}
