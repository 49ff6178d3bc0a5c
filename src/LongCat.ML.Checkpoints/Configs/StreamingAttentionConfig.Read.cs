namespace LongCat.ML.Checkpoints;

public sealed partial record StreamingAttentionConfig
{
    private static readonly string[] Keys = ["block_size", "sink_blocks", "local_blocks", "attention_layers"];
    private static readonly string[] ScoreKeys = ["sink_size", "recent_size", "sparsity", "head_score"];

    internal static StreamingAttentionConfig? Read(ConfigReader config, ModelConfig model)
    {
        if (config.Object(Key) is not { } settings)
        {
            return null;
        }

        bool byScore = ScoreKeys.Any(settings.Has);
        string[] known = byScore ? ScoreKeys : Keys;
        foreach (string key in settings.Names())
        {
            if (!known.Contains(key))
            {
                throw settings.Refuse(CheckpointException.Printable(key), "given", byScore && Keys.Contains(key)
                    ? $"either {string.Join(", ", Keys)} or {string.Join(", ", ScoreKeys)}, not keys of both"
                    : $"no keys but {string.Join(", ", known)}");
            }
        }

        StreamingAttentionConfig? result = byScore ? StreamingHeadScores.Read(settings, model) : ReadBlocks(settings, model);
        if (result?.Misfit(model) is { } misfit)
        {
            throw settings.Refuse(byScore ? "head_score" : "attention_layers", byScore ? $"a table that makes attention {misfit.Got} stream" : $"a list with {misfit.Got}", misfit.Expected);
        }

        return result;
    }

    private static StreamingAttentionConfig? ReadBlocks(ConfigReader settings, ModelConfig model)
    {
        int block = settings.Int("block_size", 1, MostBlockSize, 128);
        int sink = settings.Int("sink_blocks", 0, MostBlocks, 1);
        int local = settings.Int("local_blocks", 1, MostBlocks, 7);
        if (!settings.Has("attention_layers"))
        {
            throw settings.Refuse("attention_layers", "missing", "the list of the attentions that stream");
        }

        int[] layers = [.. settings.IntList("attention_layers", 0, model.NumAttentions - 1, model.NumAttentions).Order()];
        for (int i = 1; i < layers.Length; i++)
        {
            if (layers[i] == layers[i - 1])
            {
                throw settings.Refuse("attention_layers", $"a list that has {layers[i]} more than once", "each attention once");
            }
        }

        return layers.Length == 0 ? null : new StreamingAttentionConfig { BlockSize = block, SinkBlocks = sink, LocalBlocks = local, AttentionLayers = layers };
    }
}
