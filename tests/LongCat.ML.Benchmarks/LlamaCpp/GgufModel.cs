using System.Text.Json.Nodes;

namespace LongCat.ML.Benchmarks.LlamaCpp;

/// <summary>
/// The shape of a generated checkpoint as a GGUF file. As the quantizer of llama.cpp chooses: matrices in the given type, the output head (or the tied table)
/// in Q6_K, norms in float32. Q4_K has no matrix in a wider type, which its mixtures have: it is a little faster than what people run.
/// </summary>
internal static class GgufModel
{
    /// <summary>The file, written where it does not exist.</summary>
    public static string Write(string folder, BenchmarkShape shape, string type)
    {
        string path = Path.Combine(folder, $"{shape.Name.Replace(' ', '-')}-{type}.gguf");
        if (!File.Exists(path))
        {
            Directory.CreateDirectory(folder);
            GgufFile.Write(path, Metadata(shape), Tensors(shape, type == "Q4_0" ? GgufType.Q4_0 : GgufType.Q4K));
        }

        return path;
    }

    /// <summary>Whether llama.cpp knows the family.</summary>
    public static bool Knows(BenchmarkShape shape) => Architecture(shape) is not null;

    private static string? Architecture(BenchmarkShape shape) => (string?)shape.Config["architectures"]![0] switch
    {
        "LlamaForCausalLM" => "llama",
        "Qwen3ForCausalLM" => "qwen3",
        _ => null,
    };

    private static List<(string, object)> Metadata(BenchmarkShape shape)
    {
        JsonObject config = shape.Config;
        string name = Architecture(shape)!;
        return
        [
            ("general.architecture", name),
            ("general.name", shape.Name),
            ($"{name}.vocab_size", Number("vocab_size")),
            ($"{name}.context_length", Number("max_position_embeddings")),
            ($"{name}.embedding_length", Number("hidden_size")),
            ($"{name}.block_count", Number("num_hidden_layers")),
            ($"{name}.feed_forward_length", Number("intermediate_size")),
            ($"{name}.attention.head_count", Number("num_attention_heads")),
            ($"{name}.attention.head_count_kv", Number("num_key_value_heads")),
            ($"{name}.attention.key_length", Number("head_dim")),
            ($"{name}.attention.value_length", Number("head_dim")),
            ($"{name}.rope.dimension_count", Number("head_dim")),
            ($"{name}.rope.freq_base", (float)(double)config["rope_theta"]!),
            ($"{name}.attention.layer_norm_rms_epsilon", (float)(double)config["rms_norm_eps"]!),
            ("tokenizer.ggml.model", "no_vocab"),
        ];

        uint Number(string key) => (uint)(int)config[key]!;
    }

    private static List<GgufTensor> Tensors(BenchmarkShape shape, GgufType type)
    {
        JsonObject config = shape.Config;
        long hidden = Size("hidden_size"), inner = Size("intermediate_size"), head = Size("head_dim"), vocabulary = Size("vocab_size");
        long queries = head * Size("num_attention_heads"), keys = head * Size("num_key_value_heads");
        bool tied = (bool)config["tie_word_embeddings"]!;
        List<GgufTensor> tensors =
        [
            new("token_embd.weight", tied ? GgufType.Q6K : type, hidden, vocabulary),
            new("output_norm.weight", GgufType.F32, hidden, 1),
            .. tied ? Array.Empty<GgufTensor>() : [new("output.weight", GgufType.Q6K, hidden, vocabulary)],
        ];
        for (int layer = 0; layer < Size("num_hidden_layers"); layer++)
        {
            string block = $"blk.{layer}.";
            tensors.AddRange(
            [
                new(block + "attn_norm.weight", GgufType.F32, hidden, 1),
                new(block + "attn_q.weight", type, hidden, queries),
                new(block + "attn_k.weight", type, hidden, keys),
                new(block + "attn_v.weight", type, hidden, keys),
                new(block + "attn_output.weight", type, queries, hidden),
                new(block + "ffn_norm.weight", GgufType.F32, hidden, 1),
                new(block + "ffn_gate.weight", type, hidden, inner),
                new(block + "ffn_up.weight", type, hidden, inner),
                new(block + "ffn_down.weight", type, inner, hidden),
            ]);
            if (Architecture(shape) == "qwen3")
            {
                tensors.Add(new(block + "attn_q_norm.weight", GgufType.F32, head, 1));
                tensors.Add(new(block + "attn_k_norm.weight", GgufType.F32, head, 1));
            }
        }

        return tensors;

        long Size(string key) => (int)config[key]!;
    }
}
