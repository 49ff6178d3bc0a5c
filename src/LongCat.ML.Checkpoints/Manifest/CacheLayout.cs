namespace LongCat.ML.Checkpoints;

/// <summary>One attention cache of an exported model: a pool of shape [pages, page, <paramref name="Width"/>].</summary>
/// <param name="Width">Elements kept for each token, with <see cref="CacheType.Int8"/> bytes; at least 1. Latent attention keeps kv_lora_rank + qk_rope_head_dim (int8: 8 more, two scales).</param>
public sealed record CacheLayout(int Width);
