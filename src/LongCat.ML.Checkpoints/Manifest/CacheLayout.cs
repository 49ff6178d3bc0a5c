namespace LongCat.ML.Checkpoints;

/// <summary>One attention cache of an exported model: a pool of shape [pages, page, <paramref name="Width"/>].</summary>
/// <param name="Width">Elements kept for each token; at least 1. Latent attention keeps kv_lora_rank + qk_rope_head_dim.</param>
public sealed record CacheLayout(int Width);
