using System.Globalization;

namespace LongCat.ML.Checkpoints;

public sealed partial record DecoderConfig
{
    // Above the largest published model by at least one order of magnitude; together they keep every product below 2^63.
    private const int MostVocabulary = 1 << 24;
    private const int MostWidth = 1 << 20;
    private const int MostHeads = 1 << 16;
    private const int MostHeadDim = 1 << 14;
    private const int MostLayers = 1 << 12;
    private const int MostExperts = 1 << 16;
    private const int MostExpertTensors = 600_000;

    internal static DecoderConfig Read(ConfigReader config, string architecture, DecoderTraits traits)
    {
        RefuseUnsupported(config, architecture, traits);
        int vocabSize = config.Int("vocab_size", 1, MostVocabulary);
        int hiddenSize = config.Int("hidden_size", 1, MostWidth);
        int layers = config.Int("num_hidden_layers", 1, MostLayers);
        int heads = config.Int("num_attention_heads", 1, MostHeads);
        bool attentionBias = config.Flag("attention_bias", whenAbsent: false);
        IReadOnlyList<int> bos = config.TokenIds("bos_token_id", vocabSize);
        DecoderMixtureConfig? experts = traits.Mixture?.Invoke(config);
        DecoderConfig result = new()
        {
            Architecture = architecture,
            VocabSize = vocabSize,
            HiddenSize = hiddenSize,
            NumLayers = layers,
            NumAttentionHeads = heads,
            NumKeyValueHeads = config.Int("num_key_value_heads", 1, MostHeads, heads),
            HeadDim = ReadHeadDim(config, hiddenSize, heads),
            IntermediateSize = config.Int("intermediate_size", 1, MostWidth),
            MaxPositions = config.Int("max_position_embeddings", 1, int.MaxValue),
            RmsNormEps = config.Number("rms_norm_eps", 1e-12, 1, traits.DefaultEpsilon),
            Rope = RopeConfig.Read(config, traits.DefaultTheta),
            BosTokenId = bos.Count > 0 ? bos[0] : null,
            EosTokenIds = config.TokenIds("eos_token_id", vocabSize),
            TorchDtype = config.Text(config.Spelling("torch_dtype", "dtype")),
            Quantization = BlockQuantization.Read(config),
            TieWordEmbeddings = config.Flag("tie_word_embeddings", whenAbsent: false),
            QueryKeyValueBias = traits.QueryKeyValueBias || attentionBias,
            OutputBias = attentionBias,
            MlpBias = config.Flag("mlp_bias", whenAbsent: false),
            QueryKeyNorm = traits.QueryKeyNorm,
            Windows = ReadWindows(config, traits, layers),
            Experts = experts,
            SparseLayers = experts is null ? [] : ReadSparseLayers(config, layers),
        };
        CheckTogether(config, result);
        return result;
    }

    /// <summary>Mixtral: a mixture in every layer, weights always renormalized, tensors named w1, w2, w3.</summary>
    internal static DecoderMixtureConfig ReadMixtral(ConfigReader config) => new()
    {
        NumExperts = config.Int("num_local_experts", 1, MostExperts, 8),
        TopK = config.Int("num_experts_per_tok", 1, MostExperts, 2),
        ExpertSize = config.Int("intermediate_size", 1, MostWidth),
        NormalizeTopK = true,
        BlockName = "block_sparse_moe",
        GateProjection = "w1",
        UpProjection = "w3",
        DownProjection = "w2",
    };

    /// <summary>Qwen3-MoE: experts of a size of their own, named like the dense MLP.</summary>
    internal static DecoderMixtureConfig ReadQwenMixture(ConfigReader config) => new()
    {
        NumExperts = config.Int(config.Spelling("num_experts", "num_local_experts"), 1, MostExperts),
        TopK = config.Int("num_experts_per_tok", 1, MostExperts),
        ExpertSize = config.Int("moe_intermediate_size", 1, MostWidth),
        NormalizeTopK = config.Flag("norm_topk_prob", whenAbsent: false),
        BlockName = "mlp",
        GateProjection = "gate_proj",
        UpProjection = "up_proj",
        DownProjection = "down_proj",
    };

    private static int ReadHeadDim(ConfigReader config, int hiddenSize, int heads)
    {
        if (config.Has("head_dim"))
        {
            int given = config.Int("head_dim", 2, MostHeadDim);
            return given % 2 == 0 ? given : throw config.Refuse("head_dim", Text(given), "an even number (the halves of a head are rotated against each other)");
        }

        return hiddenSize % (2L * heads) == 0 && hiddenSize / heads <= MostHeadDim
            ? hiddenSize / heads
            : throw config.Refuse("hidden_size", Text(hiddenSize), $"an even multiple of num_attention_heads ({heads}) of at most {MostHeadDim} per head, since head_dim is not given");
    }

    private static IReadOnlyList<int?> ReadWindows(ConfigReader config, DecoderTraits traits, int layers)
    {
        int?[] windows = new int?[layers];
        int? window = !config.Has("sliding_window")
            ? config.IsNull("sliding_window") ? null : traits.DefaultWindow
            : config.Int("sliding_window", 1, int.MaxValue);
        if (traits.Windows == DecoderWindowRule.EveryLayer)
        {
            Array.Fill(windows, window);
        }
        else if (traits.Windows == DecoderWindowRule.SomeLayers && config.Flag("use_sliding_window", whenAbsent: false))
        {
            int first = config.Int("max_window_layers", 0, int.MaxValue, 28);
            IReadOnlyList<string>? types = config.TextList("layer_types", layers, ["full_attention", "sliding_attention"]);
            for (int layer = 0; layer < layers; layer++)
            {
                windows[layer] = (types is null ? layer >= first : types[layer] == "sliding_attention") ? window : null;
            }
        }

        return Array.AsReadOnly(windows);
    }

    private static IReadOnlyList<bool> ReadSparseLayers(ConfigReader config, int layers)
    {
        bool[] sparse = new bool[layers];
        int step = config.Int("decoder_sparse_step", 1, MostLayers, 1);
        IReadOnlyList<int> dense = config.IntList("mlp_only_layers", 0, layers - 1, MostLayers);
        for (int layer = 0; layer < layers; layer++)
        {
            sparse[layer] = (layer + 1) % step == 0 && !dense.Contains(layer);
        }

        return Array.AsReadOnly(sparse);
    }

    private static void RefuseUnsupported(ConfigReader config, string architecture, DecoderTraits traits)
    {
        string? activation = config.Text("hidden_act");
        if (activation is not (null or "silu"))
        {
            throw config.Refuse("hidden_act", $"\"{CheckpointException.Printable(activation)}\"", "\"silu\"");
        }

        foreach ((string key, bool read) in (ReadOnlySpan<(string, bool)>)[("attention_bias", traits.ReadsAttentionBias), ("mlp_bias", traits.ReadsMlpBias)])
        {
            if (!read && config.Flag(key, whenAbsent: false))
            {
                throw config.Refuse(key, "true", $"false: {architecture} has no such biases");
            }
        }

        if (config.Number("partial_rotary_factor", 0, 1, 1) is double share && share != 1)
        {
            throw config.Refuse("partial_rotary_factor", share.ToString("R", CultureInfo.InvariantCulture), "1: heads that are rotated in part are not supported");
        }
    }

    private static void CheckTogether(ConfigReader config, DecoderConfig result)
    {
        if (result.NumAttentionHeads % result.NumKeyValueHeads != 0)
        {
            throw config.Refuse("num_key_value_heads", Text(result.NumKeyValueHeads), $"a divisor of num_attention_heads ({result.NumAttentionHeads})");
        }

        if ((long)result.NumAttentionHeads * result.HeadDim > MostWidth)
        {
            throw config.Refuse("num_attention_heads", Text(result.NumAttentionHeads), $"at most {MostWidth / result.HeadDim} heads of {result.HeadDim}");
        }

        if (result.Experts is not { } mixture)
        {
            return;
        }

        if (mixture.TopK > mixture.NumExperts)
        {
            throw config.Refuse("num_experts_per_tok", Text(mixture.TopK), $"at most the number of experts ({mixture.NumExperts})");
        }

        int sparse = result.SparseLayers.Count(s => s);
        if ((long)sparse * mixture.NumExperts * 3 > MostExpertTensors)
        {
            throw config.Refuse(config.Spelling("num_experts", "num_local_experts"), Text(mixture.NumExperts), $"at most {MostExpertTensors / 3 / sparse} experts in each of {sparse} layers");
        }
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
