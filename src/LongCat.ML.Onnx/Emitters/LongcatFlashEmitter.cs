using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// LongCat-Flash (arXiv 2509.01322) and LongCat-Flash-Lite (arXiv 2601.21204): two latent attentions, two dense MLPs and one shortcut mixture
/// of experts in a layer; Lite adds the n-gram embedding. One file for each facet; the order of additions is the reference implementation's.
/// </summary>
[EmitterFamily(typeof(LongcatFlashConfig))]
internal sealed partial class LongcatFlashEmitter(LongcatFlashConfig config) : PackedEmitter(config)
{
    public override EmittedModel Emit(Emission emission)
    {
        if (config.Indexer is not null && emission.CacheType is not (CacheType.Float32 or CacheType.BFloat16))
        {
            throw new CheckpointException("config.json", $"index_n_heads is set: the keys of indexers are cached in float32 or bfloat16, not in {emission.CacheType}; export with one of these");
        }

        ElementType cache = ElementTypeOf(emission.CacheType);
        ModelWriter model = emission.Writer("model");
        SparseVerificationLayout? sparse = EmitModel(model, cache, emission.SparseVerification);
        ModelWriter? draft = emission.Draft ? emission.Writer("draft") : null;
        if (draft is not null)
        {
            EmitDraft(draft, cache);
        }

        return new EmittedModel(
            model.Graph,
            draft?.Graph,
            Caches(LineWidth(cache), config.AttentionSubLayers, config.NumLayers),
            draft is null ? null : Caches(LineWidth(cache), 1, 1),
            config.NGram?.NeighborNum ?? 0)
        {
            Sites = model.Sites,
            DraftSites = draft?.Sites ?? [],
            SparseVerification = sparse,
        };
    }

    /// <summary>The attentions' caches, behind them those of the indexers' keys.</summary>
    private CacheLayout[] Caches(int width, int attentions, int indexers) =>
    [
        .. Enumerable.Repeat(new CacheLayout(width), attentions),
        .. config.Indexer is { } indexer ? Enumerable.Repeat(new CacheLayout(indexer.HeadDim), indexers) : [],
    ];

    /// <summary>The latent and the rotated key have a scale each.</summary>
    private int LineWidth(ElementType cache) => LineWidth(cache, config.CacheWidth, scales: 2);
}
