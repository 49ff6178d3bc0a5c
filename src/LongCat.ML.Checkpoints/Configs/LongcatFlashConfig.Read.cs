using System.Globalization;

namespace LongCat.ML.Checkpoints;

public sealed partial record LongcatFlashConfig
{
    private const string FlashNGram = "LongcatFlashNgramForCausalLM";
    private const string LongCat = "LongcatCausalLM";

    // Above the largest published model by at least one order of magnitude; together they keep every product below 2^63.
    private const int MostVocabulary = 1 << 24;
    private const int MostWidth = 1 << 20;
    private const int MostExperts = 1 << 16;
    private const int MostLayers = 1 << 12;
    private const int MostHeadDim = 1 << 14;
    private const int MostExpertTensors = 600_000;

    internal static LongcatFlashConfig Read(ConfigReader config, string architecture)
    {
        RefuseUnsupported(config, architecture);
        int vocabSize = config.Int("vocab_size", 1, MostVocabulary);
        int hiddenSize = config.Int("hidden_size", 1, MostWidth);
        IReadOnlyList<int> bos = config.TokenIds("bos_token_id", vocabSize);
        bool wantsNGram = architecture == FlashNGram || (architecture == LongCat && NGramConfig.IsPresent(config));
        LongcatFlashConfig result = new()
        {
            Architecture = architecture,
            VocabSize = vocabSize,
            HiddenSize = hiddenSize,
            NumLayers = config.Int(config.Spelling("num_layers", "num_hidden_layers"), 1, MostLayers),
            NumAttentionHeads = config.Int("num_attention_heads", 1, MostExperts),
            MaxPositions = config.Int("max_position_embeddings", 1, int.MaxValue),
            RmsNormEps = config.Number("rms_norm_eps", 1e-12, 1, 1e-5),
            Rope = RopeConfig.Read(config),
            BosTokenId = bos.Count > 0 ? bos[0] : null,
            EosTokenIds = config.TokenIds("eos_token_id", vocabSize),
            TorchDtype = config.Text(config.Spelling("torch_dtype", "dtype")),
            Quantization = BlockQuantization.Read(config),
            MtpLayers = config.Int(config.Spelling("num_nextn_predict_layers", "num_nextn_layers", "mtp_num_layers"), 0, 64, 0),
            MtpReplicateModules = config.Flag("mtp_replicate_modules", whenAbsent: false),
            FfnHiddenSize = config.Int("ffn_hidden_size", 1, MostWidth),
            ExpertFfnHiddenSize = config.Int("expert_ffn_hidden_size", 1, MostWidth),
            QLoraRank = config.Int("q_lora_rank", 1, MostWidth),
            KvLoraRank = config.Int("kv_lora_rank", 1, MostWidth),
            QkNopeHeadDim = config.Int("qk_nope_head_dim", 1, MostHeadDim),
            QkRopeHeadDim = config.Int("qk_rope_head_dim", 2, MostHeadDim),
            VHeadDim = config.Int("v_head_dim", 1, MostHeadDim),
            NumRoutedExperts = config.Int("n_routed_experts", 1, MostExperts),
            NumZeroExperts = config.Int("zero_expert_num", 0, MostExperts, 0),
            ZeroExpertType = ReadZeroExpertType(config),
            MoeTopK = config.Int("moe_topk", 1, 2 * MostExperts),
            RoutedScalingFactor = config.Number("routed_scaling_factor", 1e-6, 1e6),
            MlaScaleQLora = config.Flag("mla_scale_q_lora", whenAbsent: true),
            MlaScaleKvLora = config.Flag("mla_scale_kv_lora", whenAbsent: true),
            NGram = wantsNGram ? NGramConfig.Read(config, vocabSize, hiddenSize) : null,
        };
        result = HasIndexer(config) ? result with { Indexer = AttentionIndexerConfig.Read(config, result.QkRopeHeadDim) } : result;
        CheckTogether(config, result);
        return result;
    }

    private static ZeroExpertType ReadZeroExpertType(ConfigReader config) => config.Text("zero_expert_type") switch
    {
        null or "identity" => ZeroExpertType.Identity,
        "drop" => ZeroExpertType.Drop,
        string other => throw config.Refuse("zero_expert_type", $"\"{CheckpointException.Printable(other)}\"", "\"identity\" or \"drop\""),
    };

    /// <summary>LongCat-2.0 says "MLA" and has an indexer all the same: its keys decide.</summary>
    private static bool HasIndexer(ConfigReader config) => config.Text("attention_method") == "LSA" || config.IsSet("index_n_heads");

    private static void RefuseUnsupported(ConfigReader config, string architecture)
    {
        string? method = config.Text("attention_method");
        if (method is not (null or "MLA" or "LSA"))
        {
            throw config.Refuse("attention_method", $"\"{CheckpointException.Printable(method)}\"", "\"MLA\" or \"LSA\"");
        }

        if (architecture != LongCat && HasIndexer(config))
        {
            throw config.Refuse(method == "LSA" ? "attention_method" : "index_n_heads", method == "LSA" ? "\"LSA\"" : "set",
                $"plain latent attention in {architecture}: LongCat Sparse Attention and its indexer are {LongCat}'s");
        }

        string? activation = config.Text("hidden_act");
        if (activation is not (null or "silu"))
        {
            throw config.Refuse("hidden_act", $"\"{CheckpointException.Printable(activation)}\"", "\"silu\"");
        }

        foreach (string key in (ReadOnlySpan<string>)["attention_bias", "norm_topk_prob", "tie_word_embeddings", "nextn_use_scmoe"])
        {
            if (config.Flag(key, whenAbsent: false))
            {
                throw config.Refuse(key, "true", "false, as in every published LongCat model");
            }
        }
    }

    private static void CheckTogether(ConfigReader config, LongcatFlashConfig result)
    {
        if (result.QkRopeHeadDim % 2 != 0)
        {
            throw config.Refuse("qk_rope_head_dim", Text(result.QkRopeHeadDim), "an even number (dimensions are rotated in pairs)");
        }

        if (config.Has("head_dim") && config.Int("head_dim", 1, MostWidth) is int headDim && headDim != result.QkRopeHeadDim)
        {
            throw config.Refuse("head_dim", Text(headDim), $"qk_rope_head_dim ({result.QkRopeHeadDim})");
        }

        if (config.Has("num_key_value_heads") && config.Int("num_key_value_heads", 1, MostExperts) is int kvHeads && kvHeads != result.NumAttentionHeads)
        {
            throw config.Refuse("num_key_value_heads", Text(kvHeads), $"num_attention_heads ({result.NumAttentionHeads})");
        }

        int candidates = result.NumRoutedExperts + result.NumZeroExperts;
        if (result.MoeTopK > candidates)
        {
            throw config.Refuse("moe_topk", Text(result.MoeTopK), $"at most n_routed_experts + zero_expert_num ({candidates})");
        }

        if ((long)result.NumLayers * result.NumRoutedExperts * 3 > MostExpertTensors)
        {
            throw config.Refuse("n_routed_experts", Text(result.NumRoutedExperts),
                $"at most {MostExpertTensors / 3 / result.NumLayers} experts in each of {result.NumLayers} layers");
        }
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
