using LongCat.ML.Checkpoints;

namespace LongCat.ML.Models;

/// <summary>The chat template of a model's folder.</summary>
internal static class ChatTemplates
{
    /// <exception cref="CheckpointException">The folder has none; the message names the files looked for.</exception>
    /// <exception cref="ChatTemplateException">It is malformed.</exception>
    public static ChatTemplate Require(string folder) => ChatTemplate.Load(folder) ?? throw new CheckpointException(
        folder,
        $"holds no chat template: neither '{Path.Combine(folder, "chat_template.jinja")}' nor 'chat_template' in '{Path.Combine(folder, "tokenizer_config.json")}'. "
        + "Export the model again from a checkpoint folder that has one, or complete a text column.");
}
