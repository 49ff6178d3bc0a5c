using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.ZigZag;

/// <summary>Writes checkpoints some of whose attentions are streaming.</summary>
/// <remarks>Thread safety: static and without state.</remarks>
public static class SparseCheckpoint
{
    /// <summary>Copies a checkpoint; its config.json then names the streaming attentions, and a longer context where that is asked for. The weights are the same, byte by byte.</summary>
    /// <param name="checkpointFolder">The checkpoint: a folder with config.json and safetensors, or a model's folder in a Hugging Face cache. It is only read.</param>
    /// <param name="streaming">The pattern and the attentions that become streaming; those that are so already stay it and need not be named.</param>
    /// <param name="extension">A longer context, or null.</param>
    /// <param name="outputFolder">The folder to create; it must not exist or be empty. It is whole or absent.</param>
    /// <param name="cancellationToken">Cancels between two files; nothing is left behind.</param>
    /// <returns>The settings as they are now.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder holds files.</exception>
    /// <exception cref="ArgumentException">The model has no such attentions, they have a sliding window, there are streaming ones of another pattern, or the extension does not fit the model.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to; nothing is left behind.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static ModelConfig Write(string checkpointFolder, StreamingAttentionConfig streaming, ContextExtension? extension, string outputFolder, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(streaming);
        string folder = CheckpointCopy.Write(
            checkpointFolder,
            editor =>
            {
                ModelConfig config = editor.ToConfig();
                if (config.Streaming is { } own && (own.BlockSize, own.SinkBlocks, own.LocalBlocks) != (streaming.BlockSize, streaming.SinkBlocks, streaming.LocalBlocks))
                {
                    throw new ArgumentException(
                        $"the checkpoint has streaming attentions of {own.SinkBlocks} + {own.LocalBlocks} blocks of {own.BlockSize}, and {streaming.SinkBlocks} + {streaming.LocalBlocks} blocks of {streaming.BlockSize} are asked for; expected the same pattern for all", nameof(streaming));
                }

                editor.SetStreaming(streaming with { AttentionLayers = [.. streaming.AttentionLayers.Union(config.Streaming?.AttentionLayers ?? []).Order()] });
                if (extension is not null)
                {
                    editor.SetContext(extension.MaxPositions, extension.ScalingFor(config));
                }
            },
            outputFolder,
            cancellationToken);
        return ModelConfig.Load(folder);
    }
}
