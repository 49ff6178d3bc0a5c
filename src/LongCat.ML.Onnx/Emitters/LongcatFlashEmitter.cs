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
        if (config.Indexer is not null)
        {
            throw new CheckpointException("config.json", "index_n_heads is set: graphs of LongCat Sparse Attention are not written; the modules read this checkpoint");
        }

        ElementType cache = ElementTypeOf(emission.CacheType);
        ModelWriter model = emission.Writer("model");
        EmitModel(model, cache);
        ModelWriter? draft = emission.Draft ? emission.Writer("draft") : null;
        if (draft is not null)
        {
            EmitDraft(draft, cache);
        }

        return new EmittedModel(
            model.Graph,
            draft?.Graph,
            [.. Enumerable.Repeat(new CacheLayout(LineWidth(cache)), config.AttentionSubLayers)],
            draft is null ? null : [new CacheLayout(LineWidth(cache))],
            config.NGram?.NeighborNum ?? 0)
        {
            Sites = model.Sites,
            DraftSites = draft?.Sites ?? [],
        };
    }

    /// <summary>The latent and the rotated key have a scale each.</summary>
    private int LineWidth(ElementType cache) => LineWidth(cache, config.CacheWidth, scales: 2);
}
