using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// LongCat Sparse Attention (LongCat-2.0, LongCat-Flash-Lite-Sparse; derived from DeepSeek's sparse attention): an indexer beside the first attention of a layer
/// chooses the tokens that both attentions of the layer see.
/// </summary>
/// <remarks>
/// The query at position t sees all keys while t + 1 ≤ <see cref="TopK"/>. Beyond that it sees the first <see cref="InitTokens"/>, the last <see cref="LocalTokens"/>
/// (itself included), and of the others those with the highest scores, <see cref="TopK"/> keys together; of equal scores the lower position wins.
/// </remarks>
public sealed record AttentionIndexerConfig
{
    /// <summary><c>index_n_heads</c>: heads of the indexer.</summary>
    public required int NumHeads { get; init; }

    /// <summary><c>index_head_dim</c>: width of a head and of the one key per token; at least <c>qk_rope_head_dim</c>, which of its elements are rotated.</summary>
    public required int HeadDim { get; init; }

    /// <summary><c>index_topk</c>: keys that a query sees, at least <see cref="InitTokens"/> + <see cref="LocalTokens"/>.</summary>
    public required int TopK { get; init; }

    /// <summary><c>index_init_tokens</c>: tokens at the beginning that every query sees.</summary>
    public required int InitTokens { get; init; }

    /// <summary><c>index_local_tokens</c>: tokens before a query, itself included, that it sees whatever their scores.</summary>
    public required int LocalTokens { get; init; }

    /// <summary>Reads the keys of a config that has an indexer.</summary>
    internal static AttentionIndexerConfig Read(ConfigReader config, int rotated)
    {
        const int Most = 1 << 24;
        AttentionIndexerConfig result = new()
        {
            NumHeads = config.Int("index_n_heads", 1, 1024),
            HeadDim = config.Int("index_head_dim", 1, 1024),
            TopK = config.Int("index_topk", 1, Most),
            InitTokens = config.Int("index_init_tokens", 0, Most),
            LocalTokens = config.Int("index_local_tokens", 1, Most),
        };
        if (result.HeadDim < rotated)
        {
            throw config.Refuse("index_head_dim", Text(result.HeadDim), $"at least qk_rope_head_dim ({rotated}), which of its elements are rotated");
        }

        if ((long)result.InitTokens + result.LocalTokens > result.TopK)
        {
            throw config.Refuse("index_topk", Text(result.TopK),
                string.Create(CultureInfo.InvariantCulture, $"at least index_init_tokens + index_local_tokens ({result.InitTokens} + {result.LocalTokens})"));
        }

        if (config.Text("index_k_norm_type") is string norm && norm != "rms")
        {
            throw config.Refuse("index_k_norm_type", $"\"{CheckpointException.Printable(norm)}\"", "\"rms\"");
        }

        if (config.Has("cli_factor") && config.Int("cli_factor", 1, Most) is int shared && shared != 2)
        {
            throw config.Refuse("cli_factor", Text(shared), "2: one indexer for the two attentions of a layer");
        }

        return config.IsSet("index_topk_pattern")
            ? throw config.Refuse("index_topk_pattern", "set", "no pattern of its own: the first attention of a layer has an indexer, the second uses its choice")
            : result;
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
