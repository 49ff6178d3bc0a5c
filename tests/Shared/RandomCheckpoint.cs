using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.TestShared;

/// <summary>
/// Tiny LongCat-Flash and LongCat-Flash-Lite checkpoints with random weights, for tests that need a model but no particular one.
/// The same options give the same bytes on every machine.
/// </summary>
internal static class RandomCheckpoint
{
    public const int BosTokenId = 1;
    public const int EosTokenId = 2;
    public const int FirstByteToken = 16;

    private static readonly string[] SpecialTokens =
    [
        "<longcat_unk>", "<longcat_s>", "</longcat_s>", "<longcat_pad>", "<longcat_system>", "<longcat_user>", "<longcat_assistant>",
        "<longcat_think>", "</longcat_think>",
    ];

    /// <summary>Writes config.json, model.safetensors and, when asked for, tokenizer.json into a folder, which is created.</summary>
    /// <returns>The folder.</returns>
    public static string Write(string folder, RandomCheckpointOptions? options = null)
    {
        options ??= new RandomCheckpointOptions();
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config(options).ToJsonString());
        if (options.Tokenizer)
        {
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Tokenizer(options.VocabSize).ToJsonString());
        }

        WriteTensors(Path.Combine(folder, "model.safetensors"), ModelConfig.Load(folder).ExpectedTensors(options.Mtp), options.Seed, options.BFloat16, options.Zeros);
        return folder;
    }

    /// <summary>The config.json of these options.</summary>
    internal static JsonObject Config(RandomCheckpointOptions options)
    {
        JsonObject config = new()
        {
            ["architectures"] = new JsonArray(options.Indexer ? "LongcatCausalLM" : !options.NGram ? "LongcatFlashForCausalLM" : options.OverEncodingNames ? "LongcatCausalLM" : "LongcatFlashNgramForCausalLM"),
            ["vocab_size"] = options.VocabSize,
            ["hidden_size"] = options.HiddenSize,
            ["num_layers"] = options.Layers,
            ["num_attention_heads"] = options.Heads,
            ["q_lora_rank"] = options.LatentRank,
            ["kv_lora_rank"] = options.LatentRank,
            ["qk_nope_head_dim"] = options.HeadDim,
            ["qk_rope_head_dim"] = options.RopeDim,
            ["v_head_dim"] = options.HeadDim,
            ["ffn_hidden_size"] = options.FfnSize,
            ["expert_ffn_hidden_size"] = options.ExpertSize,
            ["n_routed_experts"] = options.Experts,
            ["zero_expert_num"] = options.ZeroExperts,
            ["zero_expert_type"] = options.DropZeroExperts ? "drop" : "identity",
            ["moe_topk"] = options.TopK,
            ["routed_scaling_factor"] = 1.5,
            ["rope_theta"] = 10000.0,
            ["max_position_embeddings"] = options.MaxPositions,
            ["rms_norm_eps"] = 1e-5,
            ["bos_token_id"] = BosTokenId,
            ["eos_token_id"] = EosTokenId,
            ["tie_word_embeddings"] = false,
            ["torch_dtype"] = options.BFloat16 ? "bfloat16" : "float32",
        };
        if (options.NGram)
        {
            config[options.OverEncodingNames ? "oe_vocab_size_ratio" : "ngram_vocab_size_ratio"] = options.NGramRatio;
            config[options.OverEncodingNames ? "oe_neighbor_num" : "emb_neighbor_num"] = options.NeighborNum;
            config[options.OverEncodingNames ? "oe_split_num" : "emb_split_num"] = options.SplitNum;
        }

        if (options.Indexer)
        {
            config["attention_method"] = "LSA";
            config["index_n_heads"] = options.IndexHeads;
            config["index_head_dim"] = options.IndexHeadDim;
            config["index_topk"] = options.IndexTopK;
            config["index_init_tokens"] = options.IndexInitTokens;
            config["index_local_tokens"] = options.IndexLocalTokens;
            config["index_k_norm_type"] = "rms";
            config["cli_factor"] = 2;
        }

        if (options.Mtp)
        {
            config["num_nextn_predict_layers"] = 1;
        }

        if (options.Yarn)
        {
            config["rope_scaling"] = new JsonObject
            {
                ["rope_type"] = "yarn",
                ["factor"] = 4,
                ["original_max_position_embeddings"] = options.MaxPositions / 4,
                ["beta_fast"] = 32,
                ["beta_slow"] = 1,
                ["mscale"] = 1,
                ["mscale_all_dim"] = options.UnequalMScale ? 0.5 : 1,
            };
        }

        return config;
    }

    /// <summary>Random weights for the tensors of any family.</summary>
    internal static void WriteTensors(string path, IReadOnlyList<ExpectedTensor> tensors, int seed, bool bfloat16, bool zeros = false)
    {
        IEnumerable<TensorDeclaration> declarations = tensors.Select(tensor => new TensorDeclaration(
            tensor.Name, bfloat16 && tensor.Group != TensorGroup.Router && !tensor.Name.EndsWith(".weights_proj.weight", StringComparison.Ordinal) ? TensorType.BFloat16 : TensorType.Float32, tensor.Shape));
        using SafetensorsWriter writer = SafetensorsWriter.Create(path, declarations, new Dictionary<string, string> { ["format"] = "pt" });
        Random random = new(seed);
        foreach (ExpectedTensor tensor in tensors)
        {
            float[] values = new float[tensor.ElementCount];
            if (!zeros)
            {
                foreach (ref float value in values.AsSpan())
                {
                    value = Draw(random, tensor);
                }
            }

            writer.Write(tensor.Name, values);
        }

        writer.Complete();
    }

    /// <summary>Norms about 1, biases about 0.02, matrices such that a unit input gives a unit output; word vectors and n-gram rows about 1.</summary>
    private static float Draw(Random random, ExpectedTensor tensor)
    {
        double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        bool table = tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("proj", StringComparison.Ordinal);
        return (float)(tensor.Shape.Count switch
        {
            1 when tensor.Name.Contains("norm", StringComparison.Ordinal) => 1 + (0.1 * normal),
            1 => 0.02 * normal,
            _ => table ? normal : normal / Math.Sqrt(tensor.Shape[^1]),
        });
    }

    /// <summary>A byte-level tokenizer.json without merges: token 16 + b is the byte b, 0..8 are LongCat's special tokens.</summary>
    internal static JsonObject Tokenizer(int vocabSize)
    {
        if (vocabSize < FirstByteToken + 256)
        {
            throw new ArgumentException($"a byte-level tokenizer needs {FirstByteToken + 256} tokens, the vocabulary has {vocabSize}", nameof(vocabSize));
        }

        JsonArray added = [];
        JsonObject vocabulary = [];
        for (int id = 0; id < FirstByteToken; id++)
        {
            string content = id < SpecialTokens.Length ? SpecialTokens[id] : $"<longcat_reserved_{id}>";
            vocabulary[content] = id;
            added.Add(new JsonObject
            {
                ["id"] = id,
                ["content"] = content,
                ["single_word"] = false,
                ["lstrip"] = false,
                ["rstrip"] = false,
                ["normalized"] = false,
                ["special"] = true,
            });
        }

        // GPT-2's alphabet: printable bytes stand for themselves, the others for the characters from U+0100 on.
        int next = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            vocabulary[((char)(printable ? value : next++)).ToString()] = FirstByteToken + value;
        }

        return new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = added,
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["post_processor"] = null,
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = true, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null,
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["ignore_merges"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray(),
            },
        };
    }
}
