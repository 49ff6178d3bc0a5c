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
    public override EmittedModel Emit(CheckpointWeights weights, ExternalData data, CacheType cacheType, bool draft)
    {
        ElementType cache = ElementTypeOf(cacheType);
        GraphBuilder model = EmitModel(new GraphBuilder("model", data), weights, cache);
        GraphBuilder? head = draft ? EmitDraft(new GraphBuilder("draft", data), weights, cache) : null;
        return new EmittedModel(
            model,
            head,
            [.. Enumerable.Repeat(new CacheLayout(config.CacheWidth), config.AttentionSubLayers)],
            draft ? [new CacheLayout(config.CacheWidth)] : null,
            config.NGram?.NeighborNum ?? 0);
    }
}
